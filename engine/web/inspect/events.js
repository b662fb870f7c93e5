// The list of events: every fact and order of the call, with only those in sight in the page.

import { clock } from "./lanes.js";
import { whole } from "./numbers.js";

const TALL = 24;
const SPARE = 12;

export class Events {
  constructor(box, filter, count, { select }) {
    Object.assign(this, { box, filter, count, select });
    this.room = box.firstElementChild;
    this.lines = new Map();
    this.shown = null; // rows that pass the filter; null: all
    this.selected = -1;
    this.words = "";
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    box.addEventListener("click", (event) => {
      const line = event.target.closest("[data-row]");
      if (line) this.select(Number(line.dataset.row));
    });
    filter.addEventListener("input", () => this.sift());
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(table, model) {
    Object.assign(this, { table, model, selected: -1, shown: null, words: "" });
    this.filter.value = "";
    this.lines.clear();
    this.room.replaceChildren();
    this.box.scrollTop = 0;
    this.grown(false);
  }

  get length() { return this.shown ? this.shown.length : this.table?.rows ?? 0; }

  rowAt(index) { return this.shown ? this.shown[index] : index; }

  indexOf(row) {
    if (!this.shown) return row;
    let low = 0;
    let high = this.shown.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.shown[middle] < row) low = middle + 1; else high = middle; }
    return low;
  }

  // Keep the rows that hold the words; in slices, so that typing never waits.
  sift() {
    const words = this.filter.value.trim().toLowerCase();
    this.words = words;
    if (!words) { this.shown = null; this.redraw(); return; }
    const found = [];
    let row = 0;
    const slice = () => {
      if (this.words !== words) return;
      const until = performance.now() + 8;
      while (row < this.table.rows && performance.now() < until) {
        for (let n = 0; n < 200 && row < this.table.rows; n += 1, row += 1) if (this.holds(row, words)) found.push(row);
      }
      this.shown = found;
      this.redraw();
      if (row < this.table.rows) requestAnimationFrame(slice); else this.sifted = row;
    };
    slice();
  }

  holds(row, words) { return this.model.say(row).toLowerCase().includes(words) || this.table.name(row).toLowerCase().includes(words) || this.table.text(row).toLowerCase().includes(words); }

  grown(follow) {
    if (this.shown && this.sifted !== undefined) {
      for (let row = this.sifted; row < this.table.rows; row += 1) if (this.holds(row, this.words)) this.shown.push(row);
      this.sifted = this.table.rows;
    }
    this.redraw();
    if (follow) this.box.scrollTop = this.room.offsetHeight;
  }

  redraw() {
    this.room.style.height = `${this.length * TALL}px`;
    this.count.textContent = this.shown ? `${whole(this.length)} of ${whole(this.table.rows)}` : whole(this.length);
    for (const line of this.lines.values()) line.remove();
    this.lines.clear();
    this.draw();
  }

  draw() {
    if (!this.table) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / TALL) - SPARE);
    const last = Math.min(this.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / TALL) + SPARE);
    for (const [index, line] of this.lines) if (index < first || index >= last) { line.remove(); this.lines.delete(index); }
    for (let index = first; index < last; index += 1) if (!this.lines.has(index)) this.add(index);
  }

  add(index) {
    const row = this.rowAt(index);
    const { table } = this;
    const line = document.createElement("div");
    line.className = `line ${table.isOrder(row) ? "order" : ""} ${table.name(row) === "AdapterFailed" ? "bad" : ""} ${row === this.selected ? "selected" : ""}`;
    line.dataset.row = row;
    line.setAttribute("role", "option");
    line.style.transform = `translateY(${index * TALL}px)`;
    const time = document.createElement("time");
    time.textContent = table.isOrder(row) ? "" : clock(table.at[row]);
    const what = document.createElement("b");
    what.textContent = (table.isOrder(row) ? "→ " : "") + this.model.say(row);
    const text = document.createElement("span");
    text.textContent = table.text(row).replace("\n", ": ");
    line.append(time, what, text);
    this.lines.set(index, line);
    this.room.append(line);
  }

  mark(row, scroll = true) {
    this.selected = row;
    for (const line of this.lines.values()) line.classList.toggle("selected", Number(line.dataset.row) === row);
    if (!scroll || row < 0) return;
    const top = this.indexOf(row) * TALL;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop || top > scrollTop + clientHeight - TALL) this.box.scrollTop = top - clientHeight / 2;
  }
}

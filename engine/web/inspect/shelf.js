// The list of calls, live ones on top, with search and what each came to.

import { el } from "./detail.js";
import { whole } from "./numbers.js";

const POLL = 2000;

export class Shelf {
  constructor({ list, search, empty, open }) {
    Object.assign(this, { list, search, empty, open });
    this.timer = 0;
    this.drawn = "";
    search.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.load(), 150); });
    search.addEventListener("keydown", (event) => { if (event.key === "ArrowDown" || event.key === "Enter") { event.preventDefault(); this.move(0); } });
    list.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by) { event.preventDefault(); this.move([...list.querySelectorAll("a")].indexOf(document.activeElement) + by); }
    });
  }

  move(to) { const links = this.list.querySelectorAll("a"); if (to < 0) this.search.focus(); else links[Math.min(to, links.length - 1)]?.focus(); }

  start() { this.on = true; this.load(); }

  stop() { this.on = false; clearTimeout(this.timer); }

  async load() {
    clearTimeout(this.timer);
    const asked = this.search.value;
    try {
      const answer = await fetch(`api/calls?search=${encodeURIComponent(asked)}`);
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error);
      if (asked === this.search.value) this.draw(body);
    } catch (error) {
      this.empty.hidden = false;
      this.empty.textContent = `The list cannot be read: ${error.message}`;
    }
    if (this.on) this.timer = setTimeout(() => this.load(), POLL);
  }

  draw({ calls, folder }) {
    const text = JSON.stringify(calls);
    if (text === this.drawn) return;
    this.drawn = text;
    const focused = document.activeElement?.dataset?.call;
    this.empty.hidden = calls.length > 0;
    this.empty.textContent = this.search.value ? "No call holds these words." : `No call has been recorded in ${folder} yet.`;
    calls.sort((one, other) => other.live - one.live || (other.started > one.started) - (other.started < one.started));
    this.list.replaceChildren(...calls.map((call) => this.one(call)));
    if (focused) this.list.querySelector(`[data-call="${CSS.escape(focused)}"]`)?.focus();
  }

  one(call) {
    const link = el("a", call.problem ? "bad" : "");
    link.href = `#${call.name}`;
    link.dataset.call = call.name;
    const when = call.started ? new Date(call.started) : null;
    const name = el("span", "name");
    name.append(el("b", "", call.session || call.file), el("small", "", [when ? when.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : "", call.transport, call.providers].filter(Boolean).join(" · ")));
    link.append(name);
    const badges = el("span", "badges");
    if (call.live) badges.append(el("span", "badge live", "live"));
    if (call.redacted) badges.append(el("span", "badge", "redacted"));
    if (call.sound) badges.append(el("span", "badge", "sound"));
    if (call.figures?.broken) badges.append(el("span", "badge bad", "changed"));
    if (call.problem) badges.append(el("span", "badge bad", call.problem.length > 60 ? `${call.problem.slice(0, 59)}…` : call.problem));
    link.append(badges);
    const figures = call.figures;
    const cells = [
      ["length", call.seconds ? length(call.seconds) : "—"],
      ["events", whole(call.events)],
      ["answers", figures ? figures.turns : "—"],
      ["median", figures?.median_ms != null ? `${whole(figures.median_ms)} ms` : "—"],
      ["worst", figures?.worst_ms != null ? `${whole(figures.worst_ms)} ms` : "—"],
      ["interrupted", figures ? figures.interruptions : "—"],
      ["problems", figures ? figures.problems : "—"],
    ];
    for (const [label, value] of cells) {
      const cell = el("span", `cell ${label}`, String(value));
      if (label === "problems" && figures?.problems) cell.classList.add("slow");
      if (label === "worst" && figures?.worst_ms > 1000) cell.classList.add("slow");
      cell.dataset.label = label;
      link.append(cell);
    }
    const item = el("li");
    item.append(link);
    return item;
  }
}

function length(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min` : `${seconds.toFixed(1)} s`;
}

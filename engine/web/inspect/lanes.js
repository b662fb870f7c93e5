// The swim lanes: one canvas for what is in sight, one for the whole call. Draws only when something changed, and only what is in sight:
// rows that fall on one pixel are one line, so that 200,000 of them cost no more than the screen is wide.

import { FACTS } from "./model.js";
import { PHASES } from "./table.js";

const AXIS = 26;
const GAP = 4;
const MAP = 34;
const LABELS = 92;
const LABELS_NARROW = 60;
const NARROW = 640;
const PLAIN = "Speaking, r12 heard out 3.4 s"; // as wide as words are on the lanes, on the average
const SPAN_MIN = 20; // milliseconds over the whole width: a millisecond is tens of pixels wide
const LANES = [
  ["phase", "Phase", 22], ["caller", "Caller", 24], ["words", "Words", 38], ["model", "Model", 34], ["tools", "Tools", 22],
  ["voice", "Voice", 30], ["playout", "Playout", 30], ["other", "Other", 20],
];
const WITH_SOUND = { caller: 58, playout: 62 };

export class Lanes {
  constructor(canvas, map, tip, { select, seek }) {
    Object.assign(this, { canvas, map, tip, select, seek });
    this.context = canvas.getContext("2d");
    this.mapContext = map.getContext("2d");
    this.table = null;
    this.model = null;
    this.peaks = null;
    this.from = 0;
    this.to = 1000;
    this.selected = -1;
    this.playhead = null;
    this.marked = null; // an answer that is pointed at
    this.fitted = true;
    this.dirty = false;
    this.mapped = -1;
    this.pointers = new Map();
    this.frames = 0;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.listen();
    this.restyle();
  }

  show(table, model) {
    Object.assign(this, { table, model, selected: -1, playhead: null, marked: null, peaks: null, fitted: true, mapped: -1 });
    this.resize();
    this.fit();
  }

  setPeaks(bytes) { const first = !this.peaks; this.peaks = bytes; if (first) this.resize(); else this.redraw(); }

  restyle() {
    const style = getComputedStyle(document.documentElement);
    this.color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colors = Object.fromEntries(
      ["ink", "soft", "faint", "line", "paper", "raised", "ground", "caller", "words", "model", "tool", "voice", "agent", "alert", "mark",
        "phase-1", "phase-2", "phase-3", "phase-4", "phase-5", "phase-6"].map((name) => [name, this.color(name)]),
    );
    this.mapped = -1;
    this.redraw();
  }

  // Where things are.

  get left() { return this.width < NARROW ? LABELS_NARROW : LABELS; }

  x(ms) { return this.left + ((ms - this.from) / (this.to - this.from)) * (this.width - this.left); }

  ms(x) { return this.from + ((x - this.left) / (this.width - this.left)) * (this.to - this.from); }

  get end() { return Math.max(this.table?.end ?? 0, 1000); }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.width = this.canvas.parentElement.clientWidth;
    let top = AXIS;
    this.lanes = LANES.map(([name, label, height]) => {
      const lane = { name, label, top, height: this.peaks && WITH_SOUND[name] ? WITH_SOUND[name] : height };
      top += lane.height + GAP;
      return lane;
    });
    this.height = top + 2;
    for (const [canvas, height] of [[this.canvas, this.height], [this.map, MAP]]) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = `${height}px`;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.mapContext.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.mapped = -1;
    this.redraw();
  }

  // Moving about.

  look(from, to) {
    const span = Math.max(SPAN_MIN, Math.min(to - from, this.end * 1.05));
    const middle = (from + to) / 2;
    const low = Math.max(-span * 0.02, Math.min(middle - span / 2, this.end * 1.02 - span * 0.5));
    this.from = low;
    this.to = low + span;
    this.fitted = false;
    this.redraw();
  }

  fit() { this.from = -this.end * 0.005; this.to = this.end * 1.01; this.fitted = true; this.redraw(); }

  zoom(factor, x = this.left + (this.width - this.left) / 2) {
    const at = this.ms(x);
    this.look(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  pan(share) { const by = (this.to - this.from) * share; this.look(this.from + by, this.to + by); }

  reveal(ms) {
    const span = this.to - this.from;
    if (ms < this.from + span * 0.03 || ms > this.to - span * 0.03) this.look(ms - span / 2, ms + span / 2);
    else this.redraw();
  }

  // The table has grown. `follow`: keep the present in sight.
  grown(follow) {
    if (this.fitted) this.fit();
    else if (follow) { const span = this.to - this.from; this.look(this.end - span * 0.9, this.end + span * 0.1); }
    this.redraw();
  }

  listen() {
    const { canvas, map } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) this.pan((event.deltaX || event.deltaY) / this.width);
      else this.zoom(Math.exp(event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.offsetX);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.offsetX, start: event.offsetX, startY: event.offsetY });
      this.tip.hidden = true;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.pointers.has(event.pointerId)) { this.hover(event); return; }
      if (this.pointers.size === 2) this.pinch(event); else this.drag(event);
    });
    const up = (event) => {
      const held = this.pointers.get(event.pointerId);
      this.pointers.delete(event.pointerId);
      if (held && event.type === "pointerup" && Math.abs(event.offsetX - held.start) < 4 && !this.pointers.size) this.click(event);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    const jump = (event) => {
      if (!event.buttons) return;
      const middle = (event.offsetX / this.width) * this.end;
      const span = Math.min(this.to - this.from, this.end / 8);
      this.look(middle - span / 2, middle + span / 2);
    };
    map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); jump(event); });
    map.addEventListener("pointermove", jump);
  }

  drag(event) {
    const held = this.pointers.get(event.pointerId);
    const by = ((held.x - event.offsetX) / (this.width - this.left)) * (this.to - this.from);
    held.x = event.offsetX;
    this.look(this.from + by, this.to + by);
  }

  pinch(event) {
    const [one, other] = [...this.pointers.values()];
    const before = Math.abs(one.x - other.x);
    const held = this.pointers.get(event.pointerId);
    held.x = event.offsetX;
    const after = Math.abs(one.x - other.x);
    if (before > 8 && after > 8) this.zoom(before / after, (one.x + other.x) / 2);
  }

  // What is under the pointer.

  rowUnder(x, y) {
    if (!this.table) return -1;
    const lane = this.lanes.find((each) => y >= each.top - GAP / 2 && y < each.top + each.height + GAP / 2);
    if (!lane) return -1;
    const near = this.nearest(this.model.ticks[lane.name], x);
    if (near >= 0) return near;
    const at = this.ms(x);
    const held = (this.stretches(lane.name) ?? []).findLast((item) => item.start <= at && (item.end ?? this.end) >= at);
    return held ? held.row : -1;
  }

  nearest(index, x) {
    if (!index) return -1;
    const first = this.firstIn(index, this.ms(x - 6));
    let best = -1;
    let distance = 6;
    for (let i = first; i < index.length; i += 1) {
      const row = index.rows[i];
      const away = Math.abs(this.x(this.table.at[row]) - x);
      if (this.table.at[row] > this.ms(x + 6)) break;
      if (away < distance) { distance = away; best = row; }
    }
    return best;
  }

  stretches(lane) {
    const { model } = this;
    return { phase: model.phases, caller: model.speech, words: model.finals, model: model.requests, tools: model.tools, voice: model.chunks, playout: model.playouts }[lane];
  }

  hover(event) {
    const row = this.rowUnder(event.offsetX, event.offsetY);
    this.canvas.style.cursor = row >= 0 ? "pointer" : "default";
    if (row < 0) { this.tip.hidden = true; return; }
    const text = this.table.text(row).replace("\n", ": ");
    this.tip.replaceChildren();
    const head = document.createElement("b");
    head.textContent = `${(this.table.at[row] / 1000).toFixed(3)} s  ${this.model.say(row)}`;
    this.tip.append(head);
    if (text) { const words = document.createElement("span"); words.textContent = text.slice(0, 140); this.tip.append(words); }
    this.tip.hidden = false;
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(4, Math.min(event.offsetX + 12, this.width - width - 4))}px`;
    this.tip.style.top = `${event.offsetY + 16}px`;
  }

  click(event) {
    const row = this.rowUnder(event.offsetX, event.offsetY);
    if (row >= 0) this.select(row);
    else this.seek(this.ms(event.offsetX));
    this.canvas.focus();
  }

  // First place of an index at or after a time, and not before `from`: looked for in steps that double, since it is mostly near.
  firstIn(index, ms, from = 0) {
    const { at } = this.table;
    let low = from;
    let high = from;
    for (let step = 1; high < index.length && at[index.rows[high]] < ms; step *= 2) { low = high + 1; high += step; }
    high = Math.min(high, index.length);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[index.rows[middle]] < ms) low = middle + 1; else high = middle;
    }
    return low;
  }

  // Drawing.

  redraw() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.draw(); });
  }

  draw() {
    if (!this.table || !this.width) return;
    this.frames += 1;
    const { context: c, colors } = this;
    c.clearRect(0, 0, this.width, this.height);
    this.drawAxis();
    c.save();
    c.beginPath();
    c.rect(this.left, AXIS - 2, this.width - this.left, this.height);
    c.clip();
    for (const lane of this.lanes) {
      c.fillStyle = colors.raised;
      c.fillRect(this.left, lane.top, this.width - this.left, lane.height);
      this[`draw_${lane.name}`](lane);
    }
    this.drawAlarms();
    this.drawSelection();
    c.restore();
    this.drawLabels();
    this.drawMap();
  }

  drawAxis() {
    const { context: c, colors } = this;
    const span = this.to - this.from;
    const wanted = (span / Math.max(1, this.width - this.left)) * 96;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= wanted) ?? power * 10;
    c.font = "11px ui-monospace, SFMono-Regular, Menlo, monospace";
    c.textBaseline = "middle";
    c.textAlign = "left";
    for (let at = Math.ceil(Math.max(0, this.from) / step) * step; at <= this.to; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      c.strokeStyle = colors.line;
      c.beginPath(); c.moveTo(x, AXIS - 8); c.lineTo(x, this.height); c.stroke();
      c.fillStyle = colors.faint;
      c.fillText(clock(at, step), x + 3, AXIS / 2 - 1);
    }
  }

  drawLabels() {
    const { context: c, colors } = this;
    c.font = "600 11px Inter, ui-sans-serif, system-ui, sans-serif";
    c.textBaseline = "middle";
    c.textAlign = "left";
    for (const lane of this.lanes) {
      c.fillStyle = colors.soft;
      c.fillText(lane.label, this.left === LABELS ? 12 : 8, lane.top + lane.height / 2);
    }
  }

  // The stretches in sight. They begin in order, so what begins later than the right edge ends the walk.
  * inSight(list) {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((list[middle].end ?? Infinity) < this.from) low = middle + 1; else high = middle;
    }
    let last = -1e9;
    for (let i = low; i < list.length && list[i].start <= this.to; i += 1) {
      const item = list[i];
      const left = this.x(item.start);
      const right = Math.max(this.x(item.end ?? this.end), left + 1);
      if (right < last + 0.5) continue;
      last = right;
      yield [item, Math.max(left, this.left - 4), Math.min(right, this.width + 4)];
    }
  }

  ticks(index, color, top, height, alpha = 1) {
    const { context: c } = this;
    c.fillStyle = color;
    c.globalAlpha = alpha;
    const { at } = this.table;
    const { rows, length } = index;
    const scale = (this.width - this.left) / (this.to - this.from);
    let first = -10; // of the pixels side by side that are drawn as one
    let last = -10;
    for (let i = this.firstIn(index, this.from); i < length; i = this.firstIn(index, this.from + (last + 1 - this.left) / scale, i + 1)) {
      const ms = at[rows[i]];
      if (ms > this.to) break;
      const x = Math.max(last + 1, Math.floor(this.left + (ms - this.from) * scale));
      if (x > last + 1) {
        if (last >= 0) c.fillRect(first, top, last - first + 1.5, height);
        first = x;
      }
      last = x;
    }
    if (last >= 0) c.fillRect(first, top, last - first + 1.5, height);
    c.globalAlpha = 1;
  }

  block(left, right, top, height, color, alpha = 1) {
    const { context: c } = this;
    c.globalAlpha = alpha;
    c.fillStyle = color;
    if (right - left < 5) c.fillRect(left, top, right - left, height);
    else { c.beginPath(); c.roundRect(left, top, right - left, height, 3); c.fill(); }
    c.globalAlpha = 1;
  }

  // `say()` is asked only where there is room for words. Whether there was.
  label(say, left, right, y, color) {
    const from = Math.max(left, this.left) + 5;
    const room = right - from - 4;
    const text = room < 18 ? "" : say();
    if (!text) return false;
    const { context: c } = this;
    c.font = "12px Inter, ui-sans-serif, system-ui, sans-serif";
    c.fillStyle = color;
    c.textBaseline = "middle";
    c.textAlign = "left";
    this.charWidth ??= c.measureText(PLAIN).width / PLAIN.length;
    const chars = Math.floor(room / this.charWidth);
    c.fillText(text.length > chars ? `${text.slice(0, Math.max(1, chars - 1))}…` : text, from, y);
    return true;
  }

  draw_phase(lane) {
    const { phases } = this.model;
    for (let i = 0; i < phases.length; i += 1) phases[i].end = phases[i + 1]?.start ?? null;
    for (const [item, left, right] of this.inSight(phases)) {
      if (!item.phase) continue;
      const color = this.colors[`phase-${item.phase}`];
      this.block(left, right, lane.top, lane.height, color, 0.28);
      this.block(left, Math.min(left + 2, right), lane.top, lane.height, color);
      this.label(() => PHASES[item.phase], left, right, lane.top + lane.height / 2, this.colors.ink);
    }
  }

  draw_caller(lane) {
    const bar = this.peaks ? 10 : lane.height;
    if (this.peaks) this.wave(0, lane.top, lane.height - bar, this.colors.caller);
    for (const [, left, right] of this.inSight(this.model.speech)) this.block(left, right, lane.top + lane.height - bar, bar, this.colors.caller, 0.75);
    this.ticks(this.model.ticks.caller, this.colors.caller, lane.top + lane.height - bar, bar, 0.9);
  }

  draw_words(lane) {
    const height = lane.height - 12;
    for (const [item, left, right] of this.inSight(this.model.finals)) {
      this.block(left, right, lane.top, height, this.colors.words, 0.25);
      this.label(() => this.table.text(item.row), left, Math.max(right, left + 1), lane.top + height / 2, this.colors.ink);
    }
    this.ticks(this.model.ticks.words, this.colors.words, lane.top + height + 2, 10);
  }

  draw_model(lane) {
    const height = lane.height - 12;
    for (const [item, left, right] of this.inSight(this.model.requests)) {
      const first = this.x(item.first ?? item.end ?? this.end);
      this.block(left, Math.min(first, right), lane.top + height - 3, 3, this.colors.model, 0.6);
      if (item.first !== null) this.block(Math.max(first, left), right, lane.top, height, this.colors.model, 0.35);
      this.label(() => `r${item.run} ${this.table.text(item.row).split("\n")[0]}${item.cut ? " ✕" : ""}`, left, right, lane.top + height / 2, this.colors.ink);
    }
    this.ticks(this.model.ticks.model, this.colors.model, lane.top + height + 2, 10);
  }

  draw_tools(lane) {
    for (const [item, left, right] of this.inSight(this.model.tools)) {
      this.block(left, right, lane.top + 2, lane.height - 4, this.colors.tool, 0.4);
      this.label(() => this.table.text(item.row) + (item.cut ? " ✕" : ""), left, right, lane.top + lane.height / 2, this.colors.ink);
    }
    this.ticks(this.model.ticks.tools, this.colors.tool, lane.top, lane.height);
  }

  draw_voice(lane) {
    const height = lane.height - 10;
    let free = -Infinity; // two chunks are under way at once: only one of them has words
    for (const [item, left, right] of this.inSight(this.model.chunks)) {
      const first = Math.min(this.x(item.first ?? item.end ?? this.end), right);
      this.block(left, first, lane.top + height - 3, 3, this.colors.voice, 0.6);
      if (item.first !== null) this.block(Math.max(first, left), right, lane.top, height, this.colors.voice, 0.4);
      const say = () => this.table.text(item.row) + (item.cut ? " ✕" : "");
      if (left >= free && this.label(say, left, right, lane.top + height / 2, this.colors.ink)) free = right;
    }
    this.ticks(this.model.ticks.voice, this.colors.voice, lane.top + height + 2, 8);
  }

  draw_playout(lane) {
    const bar = this.peaks ? 16 : lane.height - 8;
    if (this.peaks) this.wave(1, lane.top, lane.height - bar - 8, this.colors.agent);
    const top = lane.top + lane.height - bar - 8;
    for (const [item, left, right] of this.inSight(this.model.playouts)) {
      for (const part of item.parts) {
        const from = Math.max(this.x(part.start), this.left - 4);
        const to = Math.min(this.x(part.end ?? this.end), this.width + 4);
        if (to > from) this.block(from, to, top, bar, item.how === "cleared" ? this.colors.alert : this.colors.agent, 0.45);
      }
      const how = item.how === "cleared" ? "cut" : item.how === "played" ? "heard out" : "";
      this.label(() => `r${item.run} ${how} ${(item.heard / 1000).toFixed(1)} s`, left, right, top + bar / 2, this.colors.ink);
    }
    this.ticks(this.model.ticks.playout, this.colors.agent, lane.top + lane.height - 7, 7, 0.8);
  }

  draw_other(lane) { this.ticks(this.model.ticks.other, this.colors.faint, lane.top + 4, lane.height - 8); }

  drawAlarms() {
    const { alarms } = this.model;
    const lane = this.lanes[this.lanes.length - 1];
    this.ticks(alarms, this.colors.alert, lane.top, lane.height);
  }

  // The sound's outline: the loudest of what falls on a pixel.
  wave(channel, top, height, color) {
    const { context: c, peaks } = this;
    const buckets = peaks.length / 2;
    const middle = top + height / 2;
    c.fillStyle = color;
    c.globalAlpha = 0.7;
    for (let x = this.left; x < this.width; x += 1) {
      const first = Math.floor(this.ms(x) / 20);
      const last = Math.min(buckets, Math.max(first + 1, Math.floor(this.ms(x + 1) / 20)));
      let loud = 0;
      for (let i = Math.max(0, first); i < last; i += Math.max(1, Math.floor((last - first) / 64))) loud = Math.max(loud, peaks[2 * i + channel]);
      if (loud) { const tall = Math.max(1, (loud / 255) * height); c.fillRect(x, middle - tall / 2, 1, tall); }
    }
    c.globalAlpha = 1;
  }

  drawSelection() {
    const { context: c, colors } = this;
    if (this.marked) this.block(this.x(this.marked[0]), this.x(this.marked[1]), AXIS - 2, this.height, colors.mark, 0.12);
    if (this.selected >= 0) this.line(this.table.at[this.selected], colors.ink);
    if (this.playhead !== null) this.line(this.playhead, colors.alert);
    c.globalAlpha = 1;
  }

  line(ms, color) {
    const { context: c } = this;
    const x = Math.round(this.x(ms)) + 0.5;
    c.strokeStyle = color;
    c.lineWidth = 1.5;
    c.beginPath(); c.moveTo(x, AXIS - 4); c.lineTo(x, this.height); c.stroke();
    c.lineWidth = 1;
  }

  // The whole call: painted once for each growth, with the window on top.
  drawMap() {
    const { mapContext: c, colors } = this;
    const height = MAP;
    if (this.mapped !== this.table.rows) this.paintMap();
    c.clearRect(0, 0, this.width, height);
    c.drawImage(this.painted, 0, 0, this.width, height);
    const left = Math.max(0, (this.from / this.end) * this.width);
    const right = Math.min(this.width, (this.to / this.end) * this.width);
    c.globalAlpha = 0.55;
    c.fillStyle = colors.ground;
    c.fillRect(0, 0, left, height);
    c.fillRect(right, 0, this.width - right, height);
    c.globalAlpha = 1;
    c.strokeStyle = colors.soft;
    c.strokeRect(left + 0.5, 0.5, Math.max(2, right - left - 1), height - 1);
  }

  paintMap() {
    this.mapped = this.table.rows;
    this.painted = new OffscreenCanvas(this.map.width, this.map.height);
    const c = this.painted.getContext("2d");
    const { colors, model } = this;
    c.scale(this.map.width / this.width, this.map.height / MAP);
    c.fillStyle = colors.raised;
    c.fillRect(0, 0, this.width, MAP);
    const scale = this.width / this.end;
    for (const [list, color, top, tall] of [[model.speech, colors.caller, 3, 12], [model.playouts, colors.agent, 18, 12]]) {
      c.fillStyle = color;
      let last = -1;
      for (const item of list) {
        const left = item.start * scale;
        const right = Math.max((item.end ?? this.end) * scale, left + 1);
        if (right <= last) continue;
        c.fillRect(Math.max(left, last), top, right - Math.max(left, last), tall);
        last = right;
      }
    }
    c.fillStyle = colors.alert;
    for (let i = 0; i < model.alarms.length; i += 1) c.fillRect(this.table.at[model.alarms.rows[i]] * scale, 0, 2, MAP);
  }
}

export function clock(ms, step = 1) {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  const seconds = ms / 1000;
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - minutes * 60).toFixed(digits);
  return minutes ? `${minutes}:${rest.padStart(digits ? 3 + digits : 2, "0")}` : `${rest} s`;
}

export { FACTS };

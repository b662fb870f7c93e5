// How long the caller waited for each answer.

import { made } from "./words.js";

const TURNS = 16;
const PARTS = [
  ["decide_ms", "Sure you have finished"],
  ["llm_ms", "First word"],
  ["tts_ms", "First sound"],
  ["playout_ms", "On its way"],
];

export class Times {
  constructor(root) {
    this.root = root;
    this.totals = [];
  }

  clear() {
    this.totals = [];
    this.root.hidden = true;
  }

  add(latency) {
    this.totals = [...this.totals, latency.total_ms].slice(-TURNS);
    this.root.hidden = false;
    const find = (id) => this.root.querySelector(id);
    find("#last-time").textContent = `${latency.total_ms} ms`;
    find("#median-time").textContent = this.totals.length > 1 ? `median ${median(this.totals)} ms` : "";
    find("#bars").replaceChildren(...this.totals.map((total) => this.bar(total)));
    find("#parts").replaceChildren(...PARTS.flatMap(([key, name]) => part(name, latency[key])));
  }

  bar(total) {
    const bar = made("i", "");
    bar.style.height = `${Math.max(6, (100 * total) / Math.max(...this.totals, 1000))}%`;
    return bar;
  }
}

function part(name, value) {
  return value === null ? [] : [made("dt", "", name), made("dd", "", `${value} ms`)];
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : Math.round((sorted[middle - 1] + sorted[middle]) / 2);
}

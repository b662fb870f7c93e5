// One step: its fields, its orders, and the state before and after as a difference. Everything is text; nothing is ever markup.

import { exactMs, fineMs, whole } from "./numbers.js";

export function el(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const written = (value) => (typeof value === "string" ? JSON.stringify(value) : value === null || value === undefined ? "—" : JSON.stringify(value));

const isTime = (name, value) => typeof value === "number" && (name.endsWith("_ns") || name.endsWith("_at") || name === "at");

function valueOf(name, value) {
  if (isTime(name, value)) return exactMs(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

// Time that passes changes at every step: it stands last.
const isQuiet = (change) => /^(at|audio_ns|deadlines\.)/.test(change.path);

export function showStep(pane, step, { later }) {
  pane.replaceChildren();
  const { entry } = step;
  const head = el("header");
  if (entry.kind === "event") {
    head.append(el("span", "seq", `#${entry.seq}`), el("h2", "", entry.event.type), el("span", "at", exactMs(entry.at)));
  } else head.append(el("h2", "", entry.what ?? entry.kind));
  pane.append(head);
  if (step.fact) pane.append(el("p", "notation", step.fact));
  if (entry.kind === "event" && entry.before !== entry.after) pane.append(el("p", "moved", `${entry.before} → ${entry.after}`));

  const fields = el("dl", "fields");
  for (const [name, value] of Object.entries(entry.event ?? entry.data ?? {})) {
    if (name === "type" || name === "at") continue;
    const written = valueOf(name, value);
    fields.append(el("dt", "", name), el("dd", written.length > 200 ? "long" : "", written));
  }
  if (fields.childElementCount) pane.append(el("h3", "", "Fields"), fields);

  if (step.orders.length) {
    const list = el("ol", "orders");
    for (const order of step.orders) list.append(el("li", "", order));
    pane.append(el("h3", "", step.orders.length === 1 ? "1 order" : `${step.orders.length} orders`), list);
  }

  pane.append(el("h3", "", "State"));
  if (step.parted && step.changes === null) pane.append(el("p", "empty", `Not known: ${step.parted}`));
  else if (step.changes === null) {
    pane.append(el("p", "empty", step.folded === undefined || later === null ? "Not known: the words were taken out of this journal." : `Being folded: ${whole(step.folded)} steps so far …`));
    if (later) later();
  } else if (!step.changes.length) pane.append(el("p", "empty", "Nothing changed."));
  else {
    const table = el("div", "changes");
    for (const change of step.changes.toSorted((one, other) => isQuiet(one) - isQuiet(other))) {
      table.append(el("code", isQuiet(change) ? "path quiet" : "path", change.path), part("del", change.path, change.before), part("ins", change.path, change.after));
    }
    pane.append(table);
  }

  const raw = el("details", "raw");
  raw.append(el("summary", "", "The line as it is"), el("pre", "", JSON.stringify(entry, null, 2)));
  pane.append(raw);
}

function part(name, path, value) {
  const leaf = path.split(".").pop();
  const short = isTime(leaf, value) ? fineMs(value) : written(value);
  const element = el(name, short.length > 120 ? "long" : "", short);
  if (isTime(leaf, value)) element.title = exactMs(value);
  return element;
}

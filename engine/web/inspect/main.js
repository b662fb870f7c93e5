// Brings the parts together: which call is open, what is selected, the keys.

import { Answers } from "./answers.js";
import { showStep } from "./detail.js";
import { Events } from "./events.js";
import { Lanes, clock } from "./lanes.js";
import { Model, phaseName } from "./model.js";
import { whole } from "./numbers.js";
import { Player } from "./player.js";
import { Shelf } from "./shelf.js";
import { Table, read } from "./table.js";

const $ = (id) => document.getElementById(id);
const wide = matchMedia("(min-width: 900px)");

const shelf = new Shelf({ list: $("calls"), search: $("search"), empty: $("empty") });
const lanes = new Lanes($("lanes"), $("map"), $("tip"), { select: (row) => select(row), seek: (ms) => seek(ms) });
const events = new Events($("rows"), $("filter"), $("count"), { select: (row) => select(row) });
const answers = new Answers($("answers"), { look: (from, to) => look(from, to), point: (marked) => { lanes.marked = marked; lanes.redraw(); } });
const player = new Player($("sound"), $("play"), { moved: (ms) => moved(ms) });

const OUTLINE = 1000; // milliseconds between two looks at the sound of a live call: it is written once a second

let open = null; // {name, table, model, stop, live, folded}
let selected = -1;
let following = true;

// Which call.

async function route() {
  const name = location.hash.slice(1);
  close();
  $("shelf").hidden = Boolean(name);
  $("call").hidden = !name;
  for (const id of ["title", "facts"]) $(id).hidden = !name;
  $("live").hidden = true;
  $("trace").hidden = true;
  $("notice").hidden = true;
  if (!name) { document.title = "Calls"; shelf.start(); return; }
  shelf.stop();
  await show(name);
}

function close() {
  open?.stop.abort();
  open = null;
  selected = -1;
  player.load("");
}

async function show(name) {
  const table = new Table();
  const call = { name, table, model: new Model(table), stop: new AbortController(), live: false, folded: -1, over: "" };
  open = call;
  following = true;
  lanes.show(table, call.model);
  events.show(table, call.model);
  answers.clear("Folding the call …");
  $("detail").replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: "Select an event to see its fields, its orders and what it changed." }));
  try {
    const head = await json(`api/calls/${name}`, call);
    title(head);
    player.load(head.sound ? `api/calls/${name}/sound` : "");
    if (head.sound) outline(call);
    const response = await fetch(`api/calls/${name}/rows`, { signal: call.stop.signal });
    if (!response.ok) throw new Error((await response.json()).error);
    await read(response, (piece) => { if (open === call) take(call, piece); });
    if (open === call) await tell(call);
  } catch (error) {
    if (open === call && error.name !== "AbortError") notice(error.message);
  }
}

async function json(url, call) {
  const answer = await fetch(url, { signal: call.stop.signal });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

// The outline of the sound, as far as it is recorded; of a live call again and again, each time from where the last one ended.
async function outline(call) {
  const last = Boolean(call.over);
  const held = lanes.peaks ?? new Uint8Array();
  const answer = await fetch(`api/calls/${call.name}/peaks?from=${held.length / 2}`, { signal: call.stop.signal }).catch(() => null);
  if (open !== call) return;
  if (answer?.ok) lanes.setPeaks(joined(held, new Uint8Array(await answer.arrayBuffer())));
  if (!last) setTimeout(() => { if (open === call) outline(call); }, OUTLINE);
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

function take(call, piece) {
  const head = call.table.add(piece);
  call.model.grow();
  if (call.live !== Boolean(head.live)) {
    call.live = Boolean(head.live);
    $("live").hidden = !call.live;
    $("follow").hidden = !call.live;
  }
  if (head.rows) {
    lanes.grown(call.live && following);
    events.grown(call.live && following && selected < 0);
  }
  if (head.over && !call.over) { call.over = head.over; call.whole = performance.now(); }
  if (head.over && head.over !== "complete") notice(head.over);
  if (head.folded !== call.folded) { call.folded = head.folded; soon(call); }
  if (head.done) tell(call);
  facts(call);
}

// The story is asked for when the fold has moved on: twice a second while it is short, more seldom as it grows.
function soon(call) {
  if (call.telling) return;
  call.telling = setTimeout(() => { call.telling = 0; tell(call); }, 500 + 20 * (call.story?.answers.length ?? 0));
}

async function tell(call) {
  if (open !== call) return;
  const story = await json(`api/calls/${call.name}/story`, call).catch(() => null);
  if (!story || open !== call) return;
  call.story = story;
  if (story.broken) notice(story.broken);
  answers.show(story);
  facts(call);
}

function title({ header, file, links }) {
  document.title = `${header.session || file} – call`;
  $("title").textContent = header.session || file;
  $("title").title = `${file}, ${header.started}, engine ${header.engine}, rules ${header.rules}`;
  $("trace").hidden = !links.trace;
  if (links.trace) $("trace").href = links.trace;
}

function facts(call) {
  const figures = call.story?.figures;
  const list = [["length", clock(call.table.end, 100)], ["rows", whole(call.table.rows)]];
  if (figures) {
    list.push(["answers", figures.turns]);
    if (figures.median_ms !== null) list.push(["median", `${whole(figures.median_ms)} ms`], ["worst", `${whole(figures.worst_ms)} ms`]);
    list.push(["interrupted", figures.interruptions]);
    const stale = Object.values(call.story.stale).reduce((sum, n) => sum + n, 0);
    if (stale) list.push(["stale", whole(stale)]);
  }
  $("facts").replaceChildren(...list.map(([label, value]) => {
    const item = document.createElement("li");
    const small = document.createElement("small");
    small.textContent = label;
    item.append(small, String(value));
    return item;
  }));
}

function notice(text) { $("notice").textContent = text; $("notice").hidden = false; }

// Which step.

function select(row, scroll = true) {
  if (!open || row < 0 || row >= open.table.rows) return;
  const { table, model } = open;
  selected = row;
  following = false;
  $("follow").setAttribute("aria-pressed", "false");
  lanes.selected = row;
  lanes.reveal(table.at[row]);
  events.mark(row, scroll);
  $("where").textContent = `${clock(table.at[row])} · ${phaseName(table.phase[row])}`;
  if (!player.playing) seekSound(table.at[row]);
  detail(open, model.rowOf(table.seq[row]) >= 0 && !table.name(row).startsWith("~") ? model.rowOf(table.seq[row]) : row);
}

async function detail(call, row) {
  const asked = selected;
  try {
    const step = await json(`api/calls/${call.name}/step?offset=${call.table.offset[row]}`, call);
    if (open !== call || selected !== asked) return;
    const later = call.story?.faithful === false ? null : () => setTimeout(() => { if (open === call && selected === asked) detail(call, row); }, 700);
    showStep($("detail"), step, { later });
    if (!wide.matches) tab("detail");
  } catch (error) {
    if (open === call && error.name !== "AbortError") notice(error.message);
  }
}

function step(by) {
  if (!open) return;
  const { table, model } = open;
  if (selected < 0) { const near = table.rowAt(lanes.from); select(model.rowOf(table.seq[Math.min(near, table.rows - 1)])); return; }
  const to = model.rowOf(table.seq[selected] + by);
  if (to >= 0) select(to);
}

function answer(by) {
  const list = open?.story?.answers;
  if (!list?.length) return;
  const middle = (lanes.from + lanes.to) / 2;
  const starts = list.map((each) => (each.quiet_at ?? each.began_at) / 1e6);
  const current = starts.findLastIndex((start) => start <= middle);
  const next = Math.max(0, Math.min(list.length - 1, current + by));
  look(starts[next], (list[next].started_at ?? list[next].began_at) / 1e6);
}

function look(from, to) {
  const room = Math.max(250, (to - from) * 0.6);
  following = false;
  lanes.look(from - room, to + room);
  const row = open.table.rowAt(from);
  if (row < open.table.rows) select(open.model.rowOf(open.table.seq[row]));
}

// The sound.

function seek(ms) { player.seek(ms); }

function seekSound(ms) { if (player.has) player.seek(ms); }

function moved(ms) {
  lanes.playhead = ms;
  if (!player.playing) { lanes.redraw(); return; }
  lanes.reveal(ms);
  const { table, model } = open;
  const row = table.rowAt(ms) - 1;
  if (row >= 0) { selected = row; events.mark(row); lanes.selected = model.rowOf(table.seq[row]); $("where").textContent = `${clock(ms)} · ${phaseName(table.phase[row])}`; }
}

// The page.

function tab(name) {
  document.querySelector(".panes").dataset.shown = name;
  for (const button of document.querySelectorAll("[data-tab]")) button.setAttribute("aria-selected", String(button.dataset.tab === name));
  if (name === "events") events.draw();
}

function theme(next) {
  if (next) localStorage.setItem("theme", next);
  const chosen = next ?? localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  lanes.restyle();
}

function follow() {
  following = !following;
  $("follow").setAttribute("aria-pressed", String(following));
  if (following) { selected = -1; lanes.grown(true); events.grown(true); }
}

const KEYS = {
  ArrowLeft: (event) => (event.shiftKey ? answer(-1) : step(-1)), ArrowRight: (event) => (event.shiftKey ? answer(1) : step(1)),
  "+": () => lanes.zoom(0.6), "=": () => lanes.zoom(0.6), "-": () => lanes.zoom(1.7), 0: () => lanes.fit(), a: () => lanes.pan(-0.25), d: () => lanes.pan(0.25),
  f: follow, " ": () => player.toggle(),
};

document.addEventListener("keydown", (event) => {
  if ($("keys").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (typing && event.target.value) { event.target.value = ""; event.target.dispatchEvent(new Event("input")); } else if (location.hash) location.hash = "";
    return;
  }
  if (typing) return;
  if (event.key === "?") { $("keys").showModal(); return; }
  if (event.key === "/") { event.preventDefault(); (location.hash ? $("filter") : $("search")).focus(); return; }
  if (!open) return;
  if (event.key === " " && event.target.tagName === "BUTTON") return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) { event.preventDefault(); action(event); }
});

$("back").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("in").addEventListener("click", () => lanes.zoom(0.6));
$("out").addEventListener("click", () => lanes.zoom(1.7));
$("fit").addEventListener("click", () => lanes.fit());
$("follow").addEventListener("click", follow);
$("help").addEventListener("click", () => $("keys").showModal());
$("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme(dark ? "light" : "dark");
});
for (const button of document.querySelectorAll("[data-tab]")) button.addEventListener("click", () => tab(button.dataset.tab));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lanes.restyle());
addEventListener("hashchange", route);

theme();
route();

// For tests and the curious: what is on the screen, as data.
globalThis.inspector = { get open() { return open; }, get selected() { return selected; }, lanes, events, answers };

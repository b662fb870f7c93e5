// What the lanes draw: rows taken one after another become stretches of time. Grows with the call.

import { whole } from "./numbers.js";
import { PHASES } from "./table.js";

class Index {
  constructor() { this.rows = new Uint32Array(1024); this.length = 0; }

  push(row) {
    if (this.length === this.rows.length) {
      const wider = new Uint32Array(this.length * 2);
      wider.set(this.rows);
      this.rows = wider;
    }
    this.rows[this.length] = row;
    this.length += 1;
  }
}

// In which lane a fact is a tick, and how it is said. A type without a line here is a tick in the last lane, by its own name.
export const FACTS = {
  SessionStarted: ["other", "session"], SessionEnded: ["other", "session ended"], TransportLost: ["other", "line lost"],
  TransportResumed: ["other", "line back"], CallAnswered: ["other", "answered"], UserSpeechStarted: ["caller", "caller speaks"],
  UserSpeechStopped: ["caller", "caller quiet"], DTMFPressed: ["caller", "key"], UserTextReceived: ["words", "typed"],
  InputRejected: ["other", "rejected"], ASROpened: ["words", "asr open"], ASRPartial: ["words", "asr partial"],
  ASRFinal: ["words", "asr final"], ASRStartOfTurn: ["words", "asr start"], ASREagerEndOfTurn: ["words", "asr eager"],
  ASRTurnResumed: ["words", "asr resumed"], ASREndOfTurn: ["words", "asr end"], TurnPredicted: ["words", "predicted"],
  LLMToken: ["model", "llm"], LLMToolCall: ["model", "llm calls"], LLMDone: ["model", "llm done"], TTSStarted: ["voice", "tts starts"],
  TTSWords: ["voice", "tts words"], TTSChunkDone: ["voice", "tts done"], PlayoutStarted: ["playout", "playing"],
  PlayoutAdvanced: ["playout", "heard"], PlayoutPaused: ["playout", "paused"], PlayoutCleared: ["playout", "cleared"],
  PlayoutDone: ["playout", "played"], ToolResult: ["tools", "tool"], TimerFired: ["other", "timer"], RunCancelled: ["other", "stopped"],
  AdapterFailed: ["other", "failed"], SayRequested: ["other", "say"], InterruptRequested: ["other", "interrupt"],
  EndRequested: ["other", "end"], TransferRequested: ["other", "transfer"],
};

export class Model {
  constructor(table) {
    this.table = table;
    this.taken = 0;
    this.phases = []; // {start, phase, row}
    this.speech = [];
    this.finals = [];
    this.requests = [];
    this.tools = [];
    this.chunks = [];
    this.playouts = [];
    this.ticks = { caller: new Index(), words: new Index(), model: new Index(), tools: new Index(), voice: new Index(), playout: new Index(), other: new Index() };
    this.facts = new Index(); // the rows that are facts, in order: seq -> row
    this.alarms = new Index();
    this.open = { request: new Map(), tool: new Map(), chunk: new Map(), playout: new Map() };
    this.kinds = [];
  }

  // Take the rows that were added to the table.
  grow() {
    const { table } = this;
    for (let row = this.taken; row < table.rows; row += 1) {
      const name = this.kinds[table.type[row]] ?? (this.kinds[table.type[row]] = table.name(row));
      if (name[0] === ">") this.order(row, name);
      else if (name[0] === "~") this.ticks.other.push(row);
      else this.fact(row, name);
    }
    this.taken = table.rows;
  }

  fact(row, name) {
    const { table } = this;
    this.facts.push(row);
    const at = table.at[row];
    const phase = table.phase[row];
    const last = this.phases[this.phases.length - 1];
    if (!last || last.phase !== phase) this.phases.push({ start: at, phase, row });
    this.ticks[FACTS[name]?.[0] ?? "other"].push(row);
    const step = this[`on${name}`];
    if (step) step.call(this, row, at);
  }

  onUserSpeechStarted(row, at) { this.speech.push({ start: at, end: null, row }); }

  onUserSpeechStopped(row, at) { this.endLast(this.speech, at); }

  onASRFinal(row, at) {
    const spoken = this.speech[this.speech.length - 1];
    const before = this.finals[this.finals.length - 1];
    const start = Math.max(spoken ? Math.min(spoken.start, at) : at, before ? before.end : 0);
    this.finals.push({ start, end: at, row });
  }

  onUserTextReceived(row, at) { this.finals.push({ start: at, end: at, row }); }

  onLLMToken(row, at) {
    const open = this.open.request.get(this.table.number[row]);
    if (open && open.first === null) open.first = at;
  }

  onLLMDone(row, at) { this.shut("request", this.table.number[row], at); }

  onToolResult(row, at) { this.shut("tool", this.table.number[row], at); }

  onTTSStarted(row, at) {
    const open = this.open.chunk.get(this.key(row));
    if (open) open.first = at;
  }

  onTTSChunkDone(row, at) {
    const open = this.open.chunk.get(this.key(row));
    if (open) { open.duration = this.table.value[row]; this.shut("chunk", this.key(row), at); }
  }

  onPlayoutStarted(row, at) {
    const playout = { run: this.table.run[row], start: at, end: null, row, heard: 0, parts: [{ start: at, end: null }] };
    this.playouts.push(playout);
    this.open.playout.set(playout.run, playout);
  }

  onPlayoutAdvanced(row, at) {
    const open = this.open.playout.get(this.table.run[row]);
    if (!open) return;
    open.heard = this.table.value[row];
    const part = open.parts[open.parts.length - 1];
    if (part.end !== null) open.parts.push({ start: at, end: null });
  }

  onPlayoutPaused(row, at) {
    const open = this.open.playout.get(this.table.run[row]);
    if (open) { open.heard = this.table.value[row]; this.endLast(open.parts, at); }
  }

  onPlayoutCleared(row, at) { this.stopPlayout(row, at, "cleared"); }

  onPlayoutDone(row, at) { this.stopPlayout(row, at, "played"); }

  stopPlayout(row, at, how) {
    const open = this.open.playout.get(this.table.run[row]);
    if (!open) return;
    open.heard = this.table.value[row];
    open.how = how;
    this.endLast(open.parts, at);
    open.end = open.parts[open.parts.length - 1].end;
    if (how === "cleared") this.open.playout.delete(open.run);
  }

  onAdapterFailed(row) { this.alarms.push(row); }

  onInputRejected(row) { this.alarms.push(row); }

  onSessionEnded(row, at) {
    for (const kind of Object.values(this.open)) for (const open of kind.values()) if (open.end === null) open.end = at;
    this.endLast(this.speech, at);
  }

  order(row, name) {
    const { table } = this;
    const at = table.at[row];
    const run = table.run[row];
    const number = table.number[row];
    if (name === ">StartLLM") this.begin(this.requests, "request", number, { start: at, end: null, first: null, run, number, row });
    else if (name === ">RunTool") this.begin(this.tools, "tool", number, { start: at, end: null, run, number, row });
    else if (name === ">Synthesize") this.begin(this.chunks, "chunk", this.key(row), { start: at, end: null, first: null, run, number, row });
    else if (name === ">CancelLLM") this.shut("request", number, at, true);
    else if (name === ">CancelTool") this.shut("tool", number, at, true);
    else if (name === ">CancelTTS") {
      for (const [key, chunk] of this.open.chunk) if (chunk.run === run) this.shut("chunk", key, at, true);
    } else if (name === ">ResumePlayout") {
      const open = this.open.playout.get(run);
      if (open) open.parts.push({ start: at, end: null });
    }
  }

  begin(list, kind, key, item) { list.push(item); this.open[kind].set(key, item); }

  shut(kind, key, at, cut = false) {
    const item = this.open[kind].get(key);
    if (!item) return;
    item.end = at;
    item.cut = cut;
    this.open[kind].delete(key);
  }

  endLast(list, at) {
    const last = list[list.length - 1];
    if (last && last.end === null) last.end = at;
  }

  key(row) { return this.table.run[row] * 65536 + this.table.number[row]; }

  // The row of a fact by its place in the call.
  rowOf(seq) { return seq >= 0 && seq < this.facts.length ? this.facts.rows[seq] : -1; }

  // One row in words: never as markup.
  say(row) {
    const { table } = this;
    const name = table.name(row);
    const order = name[0] === ">";
    const words = order ? name.slice(1) : name[0] === "~" ? name.slice(1) : FACTS[name]?.[1] ?? name;
    const run = table.run[row] ? ` r${table.run[row]}` : "";
    const letter = { LLM: "q", TTS: "c", Too: "t" }[name.slice(0, 3)];
    const number = letter && letter !== "q" && table.number[row] ? ` ${letter}${table.number[row]}` : "";
    const value = Number.isNaN(table.value[row]) || /^(User|Timer)/.test(name) ? "" : ` ${whole(table.value[row])} ms`;
    return `${words}${run}${number}${value}`;
  }
}

export function phaseName(number) { return PHASES[number] ?? "?"; }

// Every answer with its waterfall: who owned the time from the caller's last sound to the agent's first.

import { clock } from "./lanes.js";
import { el } from "./detail.js";
import { ms, whole } from "./numbers.js";

const OWNERS = ["endpointing", "recogniser", "model", "tool", "retry", "chunking", "synthesizer", "transport"];
const SLOW = 1e9;
const VERDICTS = 200;
const SHOWN = 1500; // milliseconds from a problem on
const SLICE = 6; // milliseconds of a frame spent on building answers

export class Answers {
  constructor(pane, { look, point }) {
    Object.assign(this, { pane, look, point });
    this.clear("");
  }

  clear(text) {
    this.story = null;
    this.items = []; // one for each answer that is on the page: {written, item}
    this.list = null;
    this.pane.replaceChildren(el("p", "empty", text));
  }

  // Show a story, which may be the last one grown. What is on the page already and has not changed stays as it is.
  show(story) {
    if (!story.faithful) { this.clear("The words were taken out of this journal, and what the rules did with them cannot be told without them."); return; }
    if (!this.list) {
      this.list = el("ol", "waterfalls");
      this.verdicts = el("ul", "verdicts");
      this.legend = el("ul", "legend");
      this.none = el("p", "empty", "No answer yet.");
      this.pane.replaceChildren(this.verdicts, this.legend, this.list, this.none);
    }
    this.story = story;
    const said = story.problems.slice(0, VERDICTS).map(({ at, what }) => ["", what, at]);
    if (story.parted) said.unshift(["", `Told up to here; ${story.parted}`]);
    if (story.problems.length > VERDICTS) said.push(["", `and ${whole(story.problems.length - VERDICTS)} more: engine explain tells them all`]);
    this.fill(this.verdicts, said);
    const used = new Set(story.answers.flatMap((answer) => answer.stretches.map((stretch) => stretch.owner)));
    this.fill(this.legend, OWNERS.filter((owner) => used.has(owner)).map((owner) => [`own ${owner}`, owner]));
    this.none.hidden = story.answers.length > 0;
    this.list.style.setProperty("--widest", Math.max(1, ...story.answers.map((answer) => total(answer))));
    this.contests = Map.groupBy(story.interruptions, (each) => each.run);
    this.build(story, 0);
  }

  fill(list, lines) {
    const written = JSON.stringify(lines);
    if (list.dataset.written === written) return;
    list.dataset.written = written;
    list.hidden = !lines.length;
    list.replaceChildren(...lines.map(([name, text, at]) => (at === undefined ? el("li", name, text) : this.way(text, at))));
  }

  // A sentence that leads to its place in the call.
  way(text, at) {
    const item = el("li", "");
    const button = el("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => this.look(at / 1e6, at / 1e6 + SHOWN));
    item.append(button);
    return item;
  }

  // Answers from one on: as many as there is time for in this frame, the others in the next.
  build(story, from) {
    const until = performance.now() + SLICE;
    for (let index = from; index < story.answers.length; index += 1) {
      if (performance.now() > until) { requestAnimationFrame(() => { if (this.story === story) this.build(story, index); }); return; }
      const answer = story.answers[index];
      const written = JSON.stringify([answer, this.contests.get(answer.run)]);
      const held = this.items[index];
      if (held?.written === written) continue;
      const item = this.one(answer);
      if (held) held.item.replaceWith(item); else this.list.append(item);
      this.items[index] = { written, item };
    }
  }

  one(answer) {
    const item = el("li", `answer ${answer.end}`);
    const button = el("button", "");
    button.type = "button";
    const head = el("span", "head");
    head.append(el("b", "", answer.turn ? `Turn ${answer.turn}` : answer.cause), el("small", "", `r${answer.run} · ${clock(answer.began_at / 1e6, 100)}`));
    const took = total(answer);
    const unheard = took ? `${ms(took)} ms, no sound` : "never heard";
    head.append(el("em", took > SLOW ? "slow" : "", answer.started_at === null ? unheard : `${ms(took)} ms`));
    button.append(head);
    if (answer.prompt) button.append(el("q", "", answer.prompt));
    const bar = el("span", "fall");
    for (const stretch of answer.stretches) {
      const part = el("i", `own ${stretch.owner}`);
      part.style.setProperty("--ns", stretch.end - stretch.start);
      part.title = `${stretch.owner} ${ms(stretch.end - stretch.start)} ms${stretch.why ? ` (${stretch.why})` : ""}`;
      bar.append(part);
    }
    button.append(bar);
    const parts = answer.stretches.filter((stretch) => stretch.end - stretch.start >= 5e5).map((stretch) => `${stretch.owner} ${ms(stretch.end - stretch.start)}`);
    if (parts.length) button.append(el("small", "parts", parts.join(" · ")));
    const heard = answer.sound_ns ? `heard ${(answer.heard_ns / 1e9).toFixed(1)} of ${(answer.sound_ns / 1e9).toFixed(1)} s` : "";
    button.append(el("small", "end", [answer.end || "going on", heard].filter(Boolean).join(" · ")));
    const from = answer.quiet_at ?? answer.began_at;
    const to = answer.started_at ?? answer.ended_at ?? answer.began_at + 1e9;
    button.addEventListener("click", () => this.look(from / 1e6, to / 1e6));
    button.addEventListener("pointerenter", () => this.point([from / 1e6, to / 1e6]));
    button.addEventListener("pointerleave", () => this.point(null));
    item.append(button);
    for (const contest of this.contests.get(answer.run) ?? []) item.append(this.contest(contest, answer));
    if (answer.trace) {
      const link = el("a", "trace", "trace");
      link.href = answer.trace;
      link.target = "_blank";
      link.rel = "noopener";
      item.append(link);
    }
    return item;
  }

  contest(contest, answer) {
    const what = answer.started_at === null ? "the caller spoke again" : "two voices";
    const after = contest.decided_at === null ? "" : ` after ${ms(contest.decided_at - contest.onset_at)} ms`;
    const yielded = contest.yielded_at === null ? "" : `, silent after ${ms(contest.yielded_at - contest.onset_at)} ms`;
    const line = el("button", `contest ${contest.outcome}`, `${clock(contest.onset_at / 1e6, 100)} ${what}${yielded}; ${contest.outcome || "undecided"}${after}: ${contest.why}`);
    line.type = "button";
    line.addEventListener("click", () => this.look(contest.onset_at / 1e6, (contest.decided_at ?? contest.onset_at) / 1e6));
    return line;
  }
}

function total(answer) {
  return answer.latency_ns ?? answer.stretches.reduce((sum, stretch) => sum + stretch.end - stretch.start, 0);
}

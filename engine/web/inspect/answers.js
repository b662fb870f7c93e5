// Every answer with its waterfall: who owned the time from the caller's last sound to the agent's first.

import { clock } from "./lanes.js";
import { el } from "./detail.js";

const ms = (ns) => Math.round(ns / 1e6).toLocaleString("en");
const OWNERS = ["endpointing", "recogniser", "model", "tool", "retry", "chunking", "synthesizer", "transport"];
const SLOW = 1e9;

export class Answers {
  constructor(pane, { look, point }) {
    Object.assign(this, { pane, look, point });
    this.story = null;
  }

  clear(text) { this.story = null; this.pane.replaceChildren(el("p", "empty", text)); }

  show(story) {
    this.story = story;
    const top = this.pane.scrollTop;
    this.pane.replaceChildren();
    if (!story.faithful) { this.clear("The words were taken out of this journal, and what the rules did with them cannot be told without them."); return; }
    if (story.verdicts.length || story.parted) {
      const list = el("ul", "verdicts");
      if (story.parted) list.append(el("li", "", `Told up to here; ${story.parted}`));
      for (const verdict of story.verdicts.slice(0, 200)) list.append(el("li", "", verdict));
      this.pane.append(list);
    }
    this.pane.append(this.legend());
    const widest = Math.max(1, ...story.answers.map((answer) => total(answer)));
    const list = el("ol", "waterfalls");
    for (const answer of story.answers) list.append(this.one(answer, widest));
    this.pane.append(list);
    if (!story.answers.length) this.pane.append(el("p", "empty", "No answer yet."));
    this.pane.scrollTop = top;
  }

  legend() {
    const used = new Set(this.story.answers.flatMap((answer) => answer.stretches.map((stretch) => stretch.owner)));
    const list = el("ul", "legend");
    for (const owner of OWNERS) if (used.has(owner)) list.append(el("li", `own ${owner}`, owner));
    return list;
  }

  one(answer, widest) {
    const item = el("li", `answer ${answer.end}`);
    const button = el("button", "");
    button.type = "button";
    const head = el("span", "head");
    head.append(el("b", "", answer.turn ? `Turn ${answer.turn}` : answer.cause), el("small", "", `r${answer.run} · ${clock(answer.began_at / 1e6, 100)}`));
    const took = total(answer);
    head.append(el("em", answer.latency_ns > SLOW ? "slow" : "", answer.started_at === null ? "never heard" : `${ms(took)} ms`));
    button.append(head);
    if (answer.prompt) button.append(el("q", "", answer.prompt));
    const bar = el("span", "fall");
    for (const stretch of answer.stretches) {
      const part = el("i", `own ${stretch.owner}`);
      part.style.width = `${((stretch.end - stretch.start) / widest) * 100}%`;
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
    for (const contest of this.story.interruptions.filter((each) => each.run === answer.run)) item.append(this.contest(contest));
    if (answer.trace) {
      const link = el("a", "trace", "trace");
      link.href = answer.trace;
      link.target = "_blank";
      link.rel = "noopener";
      item.append(link);
    }
    return item;
  }

  contest(contest) {
    const after = contest.decided_at === null ? "" : ` after ${ms(contest.decided_at - contest.onset_at)} ms`;
    const yielded = contest.yielded_at === null ? "" : `, silent after ${ms(contest.yielded_at - contest.onset_at)} ms`;
    const line = el("button", `contest ${contest.outcome}`, `${clock(contest.onset_at / 1e6, 100)} two voices${yielded}; ${contest.outcome || "undecided"}${after}: ${contest.why}`);
    line.type = "button";
    line.addEventListener("click", () => this.look(contest.onset_at / 1e6, (contest.decided_at ?? contest.onset_at) / 1e6));
    return line;
  }
}

function total(answer) {
  return answer.latency_ns ?? answer.stretches.reduce((sum, stretch) => sum + stretch.end - stretch.start, 0);
}

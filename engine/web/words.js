// The conversation on the page: the caller's words as they are recognised, the agent's as they are heard, tools as they run.

const TOOL_STATE = {
  running: "…",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "gave no answer",
};

export class Words {
  constructor(paper, log) {
    this.paper = paper;
    this.log = log;
    this.rows = new Map();
  }

  clear() {
    this.log.replaceChildren();
    this.rows.clear();
  }

  get isEmpty() {
    return this.log.childElementCount === 0;
  }

  row(key, kind, who) {
    let row = this.rows.get(key);
    if (!row) {
      row = document.createElement("li");
      row.className = kind;
      row.append(made("span", "who", who), made("p", "text"), made("p", "note"));
      this.rows.set(key, row);
      this.keepAtEnd(() => this.log.append(row));
    }
    return row;
  }

  remove(key) {
    this.rows.get(key)?.remove();
    this.rows.delete(key);
  }

  caller({ turn, text, final, backchannel }) {
    const key = `caller ${turn}`;
    if (!text) {
      if (final) this.remove(key);
      return;
    }
    const row = this.row(key, "caller", "You");
    row.classList.toggle("partial", !final);
    row.classList.toggle("backchannel", backchannel);
    this.keepAtEnd(() => row.querySelector(".text").replaceChildren(text));
    if (backchannel) this.rows.delete(key); // the turn it belonged to goes on in a row of its own
  }

  agent({ run, text, heard, state }) {
    const key = `agent ${run}`;
    if (!text) {
      if (state !== "thinking") this.remove(key);
      return;
    }
    const row = this.row(key, "agent", "Agent");
    row.dataset.state = state;
    this.keepAtEnd(() => {
      const parts = [made("span", "heard", text.slice(0, heard)), made("span", "ahead", text.slice(heard))];
      row.querySelector(".text").replaceChildren(...parts);
    });
    const note = { interrupted: "interrupted here", failed: "broke off", paused: "yields" }[state];
    row.dataset.note = note || "";
    this.note(row);
  }

  latency({ run, total_ms: total }) {
    const row = this.rows.get(`agent ${run}`);
    if (!row) return;
    row.dataset.time = `${total} ms`;
    this.note(row);
  }

  note(row) {
    const notes = [row.dataset.time, row.dataset.note].filter(Boolean);
    row.querySelector(".note").replaceChildren(notes.join(" · "));
  }

  tool({ call, name, state }) {
    const row = this.row(`tool ${call}`, "tool", "Tool");
    row.dataset.state = state;
    row.querySelector(".text").replaceChildren(made("code", "", name));
    row.querySelector(".note").replaceChildren(TOOL_STATE[state] || state);
  }

  /** Something the engine tells, between the lines. */
  remark(text) {
    const row = made("li", "remark", text);
    this.keepAtEnd(() => this.log.append(row));
  }

  /** Change the paper, and stay at its end if the reader was there. */
  keepAtEnd(change) {
    const paper = this.paper;
    const atEnd = paper.scrollHeight - paper.scrollTop - paper.clientHeight < 80;
    change();
    if (atEnd) paper.scrollTop = paper.scrollHeight;
  }
}

export function made(tag, kind, text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}

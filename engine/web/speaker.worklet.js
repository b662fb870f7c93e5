// The agent's sound: a queue that can be flushed at once and that knows what has reached the ear.
//
// A piece of sound carries its run and its place in the run. A flush drops everything in the queue: the connection keeps order, so
// whatever comes after a flush was sent after it and is meant to be heard (a paused run goes on under its old number).

const HOLD_SECONDS = 0.06; // gathered before a run begins, against jitter
const FADE_SAMPLES = 120; // 5 ms, against the click of a flush
const REPORT_SECONDS = 0.05;

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = []; // {run, start, samples, at}
    this.queued = 0; // samples in the queue
    this.fade = null;
    this.holding = true;
    this.held = 0; // samples of silence played while holding
    this.delay = 0; // quanta between us and the ear
    this.past = []; // positions handed over, oldest first: past[0] is at the ear
    this.now = null; // {run, samples} handed over last
    this.told = null; // {run, samples} reported last
    this.quiet = 0; // samples since the last report
    this.energy = 0;
    this.port.onmessage = ({ data }) => this[data.type](data);
  }

  sound({ run, start, samples }) {
    this.queue.push({ run, start, samples: new Int16Array(samples), at: 0 });
    this.queued += samples.byteLength / 2;
  }

  flush() {
    const fade = new Float32Array(FADE_SAMPLES);
    const filled = this.holding ? 0 : this.take(fade, 0);
    for (let i = 0; i < filled; i++) fade[i] *= 1 - i / FADE_SAMPLES;
    this.fade = filled ? fade.subarray(0, filled) : this.fade;
    this.queue = [];
    this.queued = 0;
    this.holding = true;
    this.held = 0;
    this.past = [];
    if (this.now) this.report(this.now); // what was handed over will be heard, whatever comes
  }

  latency({ seconds }) {
    this.delay = Math.max(0, Math.round((seconds * sampleRate) / 128));
  }

  take(out, from) {
    let at = from;
    while (at < out.length && this.queue.length) {
      const piece = this.queue[0];
      const count = Math.min(out.length - at, piece.samples.length - piece.at);
      for (let i = 0; i < count; i++) out[at + i] = piece.samples[piece.at + i] / 32768;
      at += count;
      piece.at += count;
      this.queued -= count;
      this.now = { run: piece.run, samples: piece.start + piece.at };
      if (piece.at === piece.samples.length) this.queue.shift();
    }
    return at - from;
  }

  process(_, [[out]]) {
    let filled = 0;
    if (this.fade) {
      filled = Math.min(out.length, this.fade.length);
      out.set(this.fade.subarray(0, filled));
      this.fade = this.fade.length > filled ? this.fade.subarray(filled) : null;
    }
    if (this.holding && this.queue.length) {
      this.held += out.length;
      const enough = HOLD_SECONDS * sampleRate;
      this.holding = this.queued < enough && this.held < enough;
    }
    if (!this.holding) {
      filled += this.take(out, filled);
      if (!this.queue.length) {
        this.holding = true;
        this.held = 0;
      }
    }
    for (let i = 0; i < filled; i++) this.energy += out[i] * out[i];
    this.listen(out.length);
    return true;
  }

  // What has reached the ear by now: told at the first sound, then regularly, then once more when all was heard.
  listen(samples) {
    if (!this.now) return;
    this.past.push(this.now);
    while (this.past.length > this.delay + 1) this.past.shift();
    const ear = this.past[0];
    this.quiet += samples;
    const moved = !this.told || ear.run !== this.told.run || ear.samples !== this.told.samples;
    const last = this.queue.length === 0 && ear === this.now;
    const fresh = !this.told || ear.run !== this.told.run;
    if (moved && (fresh || last || this.quiet >= REPORT_SECONDS * sampleRate)) this.report(ear);
    else if (this.quiet >= REPORT_SECONDS * sampleRate) this.report(null);
  }

  report(heard) {
    const level = Math.sqrt(this.energy / Math.max(this.quiet, 1));
    if (heard) this.told = heard;
    if (heard || level > 0 || this.loud) this.port.postMessage({ heard, level });
    this.loud = level > 0;
    this.energy = 0;
    this.quiet = 0;
  }
}

registerProcessor("speaker", Speaker);

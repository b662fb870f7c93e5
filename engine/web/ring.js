// The ring around the button: the last three seconds of the call as a circle of bars, the caller's and the agent's.

const BARS = 96;
const STEP_MS = 40;

export class Ring {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.bars = new Array(BARS).fill(null).map(() => ({ caller: 0, agent: 0 }));
    this.caller = 0;
    this.agent = 0;
    this.live = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.colours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colours());
    this.draw = this.draw.bind(this);
    requestAnimationFrame(this.draw);
  }

  colours() {
    const style = getComputedStyle(this.canvas);
    this.colour = Object.fromEntries(
      ["caller", "agent", "line"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
    this.dirty = true;
  }

  set(live) {
    this.live = live;
    if (!live) this.bars.forEach((bar) => Object.assign(bar, { caller: 0, agent: 0 }));
    this.caller = this.agent = 0;
    this.dirty = true;
  }

  hearCaller(level) {
    this.caller = Math.max(this.caller, loudness(level));
  }

  hearAgent(level) {
    this.agent = Math.max(this.agent, loudness(level));
  }

  draw(now) {
    requestAnimationFrame(this.draw);
    if (this.live && now - (this.stepped || 0) > STEP_MS) {
      this.stepped = now;
      this.bars.shift();
      this.bars.push({ caller: this.caller, agent: this.agent });
      this.caller *= 0.55;
      this.agent *= 0.55;
      this.dirty = true;
    }
    if (this.dirty) this.paint();
    this.dirty = false;
  }

  paint() {
    const { pen, canvas } = this;
    const size = canvas.width;
    const inner = size * 0.335;
    const reach = size * 0.145;
    pen.clearRect(0, 0, size, size);
    pen.lineCap = "round";
    pen.lineWidth = size * 0.0075;
    const latest = this.bars[BARS - 1];
    for (let i = 0; i < BARS; i++) {
      // With less motion wished for, the whole ring breathes instead of running around.
      const bar = this.still.matches ? latest : this.bars[BARS - 1 - i];
      const caller = bar.caller >= bar.agent;
      const level = caller ? bar.caller : bar.agent;
      const angle = -Math.PI / 2 + (i / BARS) * 2 * Math.PI;
      const length = size * 0.006 + level * reach;
      pen.strokeStyle = level > 0.03 ? this.colour[caller ? "caller" : "agent"] : this.colour.line;
      pen.globalAlpha = level > 0.03 ? 1 - 0.72 * (this.still.matches ? 0 : i / BARS) : 1;
      pen.beginPath();
      pen.moveTo(size / 2 + Math.cos(angle) * inner, size / 2 + Math.sin(angle) * inner);
      pen.lineTo(size / 2 + Math.cos(angle) * (inner + length), size / 2 + Math.sin(angle) * (inner + length));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
}

/** From amplitude to what an ear makes of it: 0 at -50 dB, 1 at -8 dB. */
function loudness(level) {
  return level > 0 ? Math.max(0, Math.min(1, (20 * Math.log10(level) + 50) / 42)) : 0;
}

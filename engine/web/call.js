// One conversation with the server over its WebSocket (the wire is described in docs/transports.md): sound both ways, messages,
// and coming back to the same session after a lost connection.

const PING_MS = 5000;
const UPLINK_BYTES_MAX = 96 * 1024; // a second of sound that has not left: newer sound is dropped, the server fills the gap
const RETRY_MS = [200, 400, 800, 1500, 3000, 3000, 3000, 3000, 3000]; // within the 20 s for which the server keeps the session
const HEADER_UP = 4;
const HEADER_DOWN = 8;

/** Events: ready, message, sound, flush, delay, lost, ended. Each carries its values in `detail`. */
export class Call extends EventTarget {
  constructor(url, token) {
    super();
    this.url = url;
    this.token = token;
    this.resume = "";
    this.tries = 0;
    this.over = false;
    this.live = false;
  }

  /** rate: of the microphone; without one, any rate will do. */
  start(rate) {
    this.rate = rate;
    this.connect();
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  connect() {
    this.sample = 0;
    const offers = this.token ? ["engine.v1", `engine.token.${this.token}`] : ["engine.v1"];
    const socket = new WebSocket(this.url, offers);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.say({ type: "hello", rate: this.rate, resume: this.resume });
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.read(JSON.parse(data)) : this.hear(data));
    socket.onclose = ({ code, reason }) => this.closed(socket, code, reason);
  }

  closed(socket, code, reason) {
    if (socket !== this.socket || this.over) return;
    clearInterval(this.timer);
    const wasLive = this.live;
    this.live = false;
    const final = code === 1000 || code === 1008 || code === 1012;
    if (!this.resume) this.refused();
    else if (final || this.tries >= RETRY_MS.length) this.end(reason || "The connection was lost.");
    else {
      if (wasLive) this.tell("lost");
      this.retry = setTimeout(() => this.connect(), RETRY_MS[this.tries++]);
    }
  }

  /** A page is not told why an upgrade failed; whether the server is there, it can ask. */
  async refused() {
    const there = await fetch(new URL("healthz", location.href), { cache: "no-store" }).then((answer) => answer.ok, () => false);
    this.end(
      there
        ? "The server did not let this page in. If it asks for a token, open the link that it printed; if you have many tabs open, close some."
        : "The server cannot be reached.",
    );
  }

  read(message) {
    switch (message.type) {
      case "ready":
        this.live = true;
        this.tries = 0;
        this.tell("ready", { ...message, again: this.resume !== "" });
        this.resume = message.resume;
        this.ping();
        this.timer = setInterval(() => this.ping(), PING_MS);
        break;
      case "flush":
        this.tell("flush", message);
        break;
      case "pong":
        if (message.id === this.pinged) this.tell("delay", performance.now() - this.pingedAt);
        break;
      case "bye":
        this.end(message.reason);
        break;
      default:
        this.tell("message", message);
    }
  }

  hear(data) {
    const header = new DataView(data, 0, HEADER_DOWN);
    const detail = { run: header.getUint32(0, true), start: header.getUint32(4, true), samples: data.slice(HEADER_DOWN) };
    this.tell("sound", detail);
  }

  /** 20 ms of the caller. What cannot leave is counted all the same, so that the server knows how much is missing. */
  send(samples) {
    const start = this.sample;
    if (!this.live) return;
    this.sample += samples.byteLength / 2;
    if (this.socket.bufferedAmount > UPLINK_BYTES_MAX) return;
    const data = new Uint8Array(HEADER_UP + samples.byteLength);
    new DataView(data.buffer).setUint32(0, start, true);
    data.set(new Uint8Array(samples), HEADER_UP);
    this.socket.send(data);
  }

  heard({ run, samples }) {
    if (this.live) this.say({ type: "played", run, samples });
  }

  type(text) {
    this.say({ type: "text", text });
  }

  ping() {
    this.pinged = ((this.pinged || 0) + 1) % 2 ** 31;
    this.pingedAt = performance.now();
    this.say({ type: "ping", id: this.pinged });
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** The caller hangs up. */
  stop() {
    this.say({ type: "bye" });
    this.end("");
  }

  end(reason) {
    if (this.over) return;
    this.over = true;
    this.live = false;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    this.socket.close(1000);
    this.tell("ended", reason);
  }
}

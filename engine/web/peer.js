// The same conversation as in call.js over WebRTC: the browser carries the sound both ways, a data channel the messages.
// docs/transports.md describes the wire.

const PING_MS = 1000; // the server gives up a page that is silent for 5 s
const MEASURE_MS = 500;
const CONNECT_MS = 6000;
const RETRY_MS = [200, 1000, 3000, 5000]; // within the 20 s for which the server keeps the session
const BUFFER_MS_MAX = 300;
const RATE_HZ = 48000; // Opus's own; what the hello names

/** Whether this browser and this server can do it. */
export async function peersCan(token) {
  if (!window.RTCPeerConnection) return false;
  return ask(token).then(({ ok }) => ok, () => false);
}

function ask(token, options = {}) {
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  return fetch(new URL("webrtc/offer", location.href), { ...options, headers: { ...authorization, ...options.headers } });
}

/** Events as in call.js, but sound and flush; and besides them `voice`, a stream to play, and `failed`: there is no way through. */
export class Peer extends EventTarget {
  constructor(token) {
    super();
    this.token = token;
    this.resume = "";
    this.tries = 0;
    this.over = false;
    this.live = false;
    this.late = 0; // seconds between the browser's decoder and the ear
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** track: the microphone's; without one, the page only listens. */
  async start(track) {
    this.track = track;
    try {
      await this.connect();
    } catch (error) {
      this.closed();
    }
  }

  async connect() {
    this.drop();
    const answered = await ask(this.token);
    if (!answered.ok) throw new Error(`${answered.status}`);
    const peer = (this.peer = new RTCPeerConnection(await answered.json()));
    this.timeout = setTimeout(() => this.closed(peer), CONNECT_MS);
    if (this.track) this.sender = peer.addTrack(this.track);
    else peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = ({ track }) => this.tell("voice", new MediaStream([track]));
    peer.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(peer.connectionState)) this.closed(peer);
    };
    const channel = (this.channel = peer.createDataChannel("engine.v1"));
    channel.onopen = () => this.say({ type: "hello", rate: RATE_HZ, resume: this.resume });
    channel.onmessage = ({ data }) => this.read(JSON.parse(data));
    channel.onclose = () => this.closed(peer);
    await peer.setLocalDescription();
    await gathered(peer);
    const answer = await ask(this.token, {
      method: "POST",
      headers: { "content-type": "application/sdp", ...(this.resume && { "engine-resume": this.resume }) },
      body: peer.localDescription.sdp,
    });
    if (!answer.ok) throw new Error(`${answer.status}`);
    if (peer !== this.peer) return; // given up meanwhile
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  }

  closed(peer = this.peer) {
    if (peer !== this.peer || this.over) return;
    const wasLive = this.live;
    this.drop();
    if (!this.resume) {
      this.over = true;
      this.tell("failed");
    } else if (this.tries >= RETRY_MS.length) this.end("The connection was lost.");
    else {
      if (wasLive) this.tell("lost");
      this.retry = setTimeout(() => this.start(this.track), RETRY_MS[this.tries++]);
    }
  }

  read(message) {
    switch (message.type) {
      case "ready":
        clearTimeout(this.timeout);
        this.live = true;
        this.tries = 0;
        this.tell("ready", { ...message, again: this.resume !== "" });
        this.resume = message.resume;
        this.ping();
        this.timers = [setInterval(() => this.ping(), PING_MS), setInterval(() => this.measure(), MEASURE_MS)];
        break;
      case "flush":
        // What has arrived and was not played yet is dropped by playing nothing for as long as it lasts.
        this.tell("hush", Math.min(this.buffer || 0, BUFFER_MS_MAX));
        break;
      case "pong":
        if (message.id === this.pinged) {
          this.round = performance.now() - this.pingedAt;
          this.tell("delay", this.round);
        }
        break;
      case "bye":
        this.end(message.reason);
        break;
      default:
        this.tell("message", message);
    }
  }

  /** How long sound takes from the server to the ear: half the way there and back, the jitter buffer, the device. */
  async measure() {
    const peer = this.peer;
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== "inbound-rtp" || report.kind !== "audio") continue;
      const { jitterBufferDelay: delay, jitterBufferEmittedCount: count } = report;
      const before = this.emitted || { delay: 0, count: 0 };
      if (count > before.count) this.buffer = Math.round((1000 * (delay - before.delay)) / (count - before.count));
      this.emitted = { delay, count };
    }
    if (peer !== this.peer || this.buffer === undefined || this.round === undefined) return;
    const ms = Math.round(this.round / 2 + this.buffer + 1000 * this.late);
    this.say({ type: "delay", ms: Math.min(ms, 2000), buffer_ms: Math.min(this.buffer, BUFFER_MS_MAX) });
  }

  /** Another microphone. */
  use(track) {
    this.track = track;
    return this.sender?.replaceTrack(track);
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
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  stop() {
    this.say({ type: "bye" });
    this.end("");
  }

  drop() {
    this.live = false;
    clearTimeout(this.timeout);
    this.timers?.forEach(clearInterval);
    this.emitted = undefined;
    const peer = this.peer;
    this.peer = this.channel = this.sender = undefined;
    // A goodbye still leaves: the channel is closed in order, the connection after it.
    if (peer) setTimeout(() => peer.close(), this.over ? 100 : 0);
  }

  end(reason) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.retry);
    this.drop();
    this.tell("ended", reason);
  }
}

function gathered(peer) {
  return new Promise((done) => {
    const look = () => peer.iceGatheringState === "complete" && done();
    peer.onicegatheringstatechange = look;
    look();
    setTimeout(done, CONNECT_MS / 3); // what there is by then must do
  });
}

/** The agent's voice from a stream, with the ways of the Speaker in sound.js. */
export class Loudspeaker {
  constructor(onlevel, onstate) {
    this.onlevel = onlevel;
    this.onstate = onstate;
    this.element = new Audio();
    this.element.autoplay = true;
  }

  async start() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.context.onstatechange = () => this.onstate(this.context.state);
    this.meter = new AnalyserNode(this.context, { fftSize: 1024 });
    const block = new Float32Array(1024);
    this.timer = setInterval(() => {
      this.meter.getFloatTimeDomainData(block);
      this.onlevel(Math.hypot(...block) / Math.sqrt(block.length));
    }, 50);
  }

  /** Seconds from the decoder to the ear. */
  get late() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  play(stream) {
    this.source?.disconnect();
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.meter);
    this.element.srcObject = stream;
    this.resume();
  }

  flush(milliseconds = 0) {
    clearTimeout(this.hushed);
    this.element.muted = true;
    this.hushed = setTimeout(() => (this.element.muted = false), milliseconds);
  }

  async resume() {
    await Promise.allSettled([this.context.resume(), this.element.play()]);
  }

  async stop() {
    clearInterval(this.timer);
    clearTimeout(this.hushed);
    this.element.srcObject = null;
    if (this.context && this.context.state !== "closed") {
      this.context.onstatechange = null;
      await this.context.close();
    }
  }
}

// The two ends of the page's sound. Both are made inside a click, or the browser keeps them silent.

const SPEAKER_HZ = 24000;
export const RATES_HZ = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000];

const WISHES = { channelCount: 1, noiseSuppression: true, autoGainControl: true };

/** What went wrong with the sound, in words. */
export function soundTrouble(error) {
  if (!window.isSecureContext) {
    return "Browsers give a microphone only to pages over https or on this machine. Open the page as https:// or as http://localhost.";
  }
  return (
    {
      NotAllowedError: "The microphone was not allowed. Allow it in the address bar (the icon before the address), then start again.",
      NotFoundError: "There is no microphone. Plug one in, or type below.",
      NotReadableError: "Another program holds the microphone. Close it, then start again.",
      OverconstrainedError: "The chosen microphone is gone. Choose another one.",
      NetworkError: "The server cannot be reached, so the page's sound does not load. Try again in a moment.",
      NotSupportedError: "This browser cannot use this microphone's sample rate. Set the device to 48 kHz, or use Chrome or Safari.",
    }[error.name] || `The microphone cannot be used: ${error.message || error.name}. You can type below instead.`
  );
}

async function load(context, name) {
  if (!context.audioWorklet) throw new DOMException("no AudioWorklet", "SecurityError");
  const script = new URL(`./${name}.worklet.js`, import.meta.url);
  await context.audioWorklet.addModule(script).catch(() => {
    throw new DOMException(script.href, "NetworkError"); // a browser says no more than that it was aborted
  });
}

/** The caller's microphone. `onframe(samples, level)` is called 50 times a second with an ArrayBuffer of 16-bit samples. */
export class Microphone {
  constructor(onframe, onlost) {
    this.onframe = onframe;
    this.onlost = onlost;
    this.open = true;
  }

  async start(deviceId) {
    const stream = await this.capture(deviceId);
    this.context = new AudioContext({ latencyHint: "interactive" });
    if (!RATES_HZ.includes(this.context.sampleRate)) {
      await this.context.close();
      this.context = new AudioContext({ latencyHint: "interactive", sampleRate: 48000 });
    }
    await load(this.context, "capture");
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 1, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => this.onframe(data.samples, data.level);
    // Some browsers run a node only when it leads somewhere; this one gives silence.
    this.node.connect(this.context.destination);
    this.use(stream);
    await this.context.resume();
  }

  get rate() {
    return this.context.sampleRate;
  }

  async capture(deviceId) {
    if (!navigator.mediaDevices) throw new DOMException("insecure page", "SecurityError");
    const echo = { echoCancellation: { ideal: "all" } }; // all that this machine plays; older browsers read it as true
    const device = deviceId ? { deviceId: { exact: deviceId } } : {};
    try {
      return await navigator.mediaDevices.getUserMedia({ audio: { ...WISHES, ...echo, ...device } });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return navigator.mediaDevices.getUserMedia({ audio: { ...WISHES, echoCancellation: true, ...device } });
    }
  }

  use(stream) {
    this.release();
    this.stream = stream;
    [this.track] = stream.getAudioTracks();
    this.track.enabled = this.open;
    this.track.onended = () => this.onlost();
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.node);
  }

  /** Another device, in the middle of a call. */
  async change(deviceId) {
    this.use(await this.capture(deviceId));
  }

  /** Closed, it sends silence: the call's clock goes on. */
  set(open) {
    this.open = open;
    if (this.track) this.track.enabled = open;
  }

  release() {
    if (!this.stream) return;
    this.track.onended = null;
    this.source.disconnect();
    this.stream.getTracks().forEach((track) => track.stop());
  }

  async stop() {
    this.release();
    if (this.context && this.context.state !== "closed") await this.context.close();
  }
}

/** The agent's voice. `onheard({run, samples})` tells what has reached the ear, `onlevel(level)` how loud it is. */
export class Speaker {
  constructor(onheard, onlevel, onstate) {
    this.onheard = onheard;
    this.onlevel = onlevel;
    this.onstate = onstate;
  }

  async start() {
    this.context = new AudioContext({ latencyHint: "interactive", sampleRate: SPEAKER_HZ });
    const woken = this.context.resume();
    await load(this.context, "speaker");
    this.node = new AudioWorkletNode(this.context, "speaker", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => {
      if (data.heard) this.onheard(data.heard);
      this.onlevel(data.level);
    };
    this.node.connect(this.context.destination);
    this.context.onstatechange = () => this.onstate(this.context.state);
    await Promise.race([woken, new Promise((done) => setTimeout(done, 500))]);
    this.onstate(this.context.state);
    this.measure();
    this.timer = setInterval(() => this.measure(), 1000);
  }

  measure() {
    const seconds = this.context.outputLatency || this.context.baseLatency || 0;
    this.node.port.postMessage({ type: "latency", seconds });
  }

  play(run, start, samples) {
    this.node.port.postMessage({ type: "sound", run, start, samples }, [samples]);
  }

  flush() {
    this.node.port.postMessage({ type: "flush" });
  }

  resume() {
    return this.context.resume();
  }

  async stop() {
    clearInterval(this.timer);
    if (this.context && this.context.state !== "closed") {
      this.context.onstatechange = null;
      await this.context.close();
    }
  }
}

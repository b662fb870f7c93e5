// The caller's sound, at the device's own rate, as frames of 20 ms of 16-bit samples. The server resamples.

const FRAMES_PER_SECOND = 50;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / FRAMES_PER_SECOND);
    this.begin();
  }

  begin() {
    this.frame = new Int16Array(this.size);
    this.filled = 0;
    this.energy = 0;
  }

  process([input], [output]) {
    // An unplugged microphone gives no channel: silence then, so that the caller's clock goes on.
    const channel = input[0];
    const count = channel ? channel.length : output[0].length;
    for (let i = 0; i < count; i++) {
      const sample = channel ? Math.max(-1, Math.min(1, channel[i])) : 0;
      this.frame[this.filled++] = Math.round(sample < 0 ? sample * 32768 : sample * 32767);
      this.energy += sample * sample;
      if (this.filled === this.size) {
        const message = { samples: this.frame.buffer, level: Math.sqrt(this.energy / this.size) };
        this.port.postMessage(message, [message.samples]);
        this.begin();
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);

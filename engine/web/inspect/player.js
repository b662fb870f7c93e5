// The recorded sound, in step with the lanes. A sound that was recorded starts with the call, so its clock is the call's.

export class Player {
  constructor(audio, button, { moved }) {
    Object.assign(this, { audio, button, moved });
    button.addEventListener("click", () => this.toggle());
    audio.addEventListener("play", () => { button.textContent = "❚❚ Pause"; this.tick(); });
    audio.addEventListener("pause", () => { button.textContent = "▶ Play"; });
  }

  load(url) {
    this.has = Boolean(url);
    this.button.hidden = !this.has;
    this.audio.pause();
    if (url) this.audio.src = url; else this.audio.removeAttribute("src");
  }

  toggle() {
    if (!this.has) return;
    if (this.audio.paused) this.audio.play().catch(() => { this.button.hidden = true; }); else this.audio.pause();
  }

  seek(ms) {
    if (!this.has) return;
    this.audio.currentTime = Math.max(0, ms / 1000);
    this.moved(this.audio.currentTime * 1000);
  }

  get playing() { return this.has && !this.audio.paused; }

  tick() {
    if (!this.playing) return;
    this.moved(this.audio.currentTime * 1000);
    requestAnimationFrame(() => this.tick());
  }
}

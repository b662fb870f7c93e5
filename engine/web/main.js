// The page: what is pressed, what is shown. The conversation is in call.js, the sound in sound.js.

import { Call } from "./call.js";
import { Loudspeaker, Peer, peersCan } from "./peer.js";
import { Ring } from "./ring.js";
import { Microphone, Speaker, soundTrouble } from "./sound.js";
import { Times } from "./times.js";
import { Words } from "./words.js";

const TEXT_ONLY_HZ = 16000;
const PHASES = {
  Idle: ["Your turn", ""],
  Listening: ["Listening", ""],
  Transcribing: ["Transcribing", ""],
  Generating: ["Thinking", ""],
  Speaking: ["Speaking", "Interrupt whenever you like."],
  Interrupted: ["Interrupted", ""],
  Cancelled: ["Cancelled", ""],
};

const $ = (id) => document.getElementById(id);
const words = new Words($("paper"), $("log"));
const times = new Times($("times"));
const ring = new Ring($("ring"));

let call = null;
let speaker = null;
let microphone = null;
let muted = false;
let pushing = false; // push-to-talk is on
let held = false; // and its button is down
const waiting = []; // typed before there was a connection

// The token comes behind the "#", which no server sees; it is kept for a reload and taken out of the address.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname + location.search);
}

function show(state, status) {
  document.body.dataset.call = state;
  $("status").textContent = status;
  $("talk-label").textContent = state === "idle" ? "Start talking" : "Hang up";
  if (state === "idle") {
    document.body.dataset.phase = "Idle";
    $("phase").textContent = words.isEmpty ? "Press to start" : "Call ended";
    $("hint").textContent = words.isEmpty ? "The agent speaks first." : "Press to start another.";
    $("delay").hidden = true;
  } else if (state === "connecting") {
    $("phase").textContent = "Connecting";
    $("hint").textContent = "";
  }
  $("way").disabled = state !== "idle";
  ring.set(state === "live");
}

function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
}

function showPhase({ phase }) {
  const [name, hint] = PHASES[phase] || [phase, ""];
  document.body.dataset.phase = phase;
  $("phase").textContent = name;
  $("hint").textContent = phase === "Idle" ? howToSpeak() : hint;
}

function howToSpeak() {
  if (muted) return "You are muted.";
  return pushing ? "Hold the button or the space bar, and speak." : "Speak whenever you like.";
}

function showMessage(message) {
  switch (message.type) {
    case "phase":
      return showPhase(message);
    case "caller":
      return words.caller(message);
    case "agent":
      return words.agent(message);
    case "tool":
      return words.tool(message);
    case "latency":
      words.latency(message);
      return times.add(message);
    case "trouble":
      return words.remark(`${message.stage.toUpperCase()} ${message.provider}: ${message.kind}`);
    default: // level and session: the page has its own
  }
}

// Beginning and ending.

async function begin(wantsMicrophone) {
  const way = $("way").value;
  notice("");
  words.clear();
  times.clear();
  $("empty").hidden = true;
  show("connecting", "Connecting");
  const mine = (call = way === "webrtc" ? byPeer(wantsMicrophone) : bySocket());
  mine.addEventListener("ready", ({ detail }) => ready(detail));
  mine.addEventListener("message", ({ detail }) => showMessage(detail));
  mine.addEventListener("delay", ({ detail }) => showDelay(detail));
  mine.addEventListener("lost", () => {
    speaker?.flush();
    show("connecting", "Connection lost, coming back");
  });
  mine.addEventListener("ended", ({ detail }) => ended(detail));
  try {
    await speaker.start();
    if (wantsMicrophone) await openMicrophone();
  } catch (error) {
    mine.over = true;
    await close();
    $("empty").hidden = !words.isEmpty;
    show("idle", "Not connected");
    notice(soundTrouble(error));
    return;
  }
  if (mine.over) return; // hung up while the browser asked
  if (way === "webrtc") mine.start(microphone?.track);
  else mine.start(microphone ? microphone.rate : TEXT_ONLY_HZ);
}

function bySocket() {
  const url = new URL("session", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const mine = new Call(url.href, sessionStorage.getItem("token"));
  speaker = new Speaker((heard) => mine.heard(heard), (level) => ring.hearAgent(level), (state) => blocked(mine, state));
  mine.addEventListener("sound", ({ detail }) => speaker?.play(detail.run, detail.start, detail.samples));
  mine.addEventListener("flush", () => speaker?.flush());
  return mine;
}

function byPeer(wantsMicrophone) {
  const mine = new Peer(sessionStorage.getItem("token"));
  const loudspeaker = (speaker = new Loudspeaker((level) => ring.hearAgent(level), (state) => blocked(mine, state)));
  mine.addEventListener("voice", ({ detail }) => {
    loudspeaker.play(detail);
    mine.late = loudspeaker.late;
  });
  mine.addEventListener("hush", ({ detail }) => loudspeaker.flush(detail));
  mine.addEventListener("failed", async () => {
    await close();
    $("way").value = "websocket"; // for the next call too: there, finding out would take as long
    await begin(wantsMicrophone);
    words.remark("WebRTC finds no way to the server. The call goes over a WebSocket.");
  });
  return mine;
}

function blocked(mine, state) {
  if (state !== "running" && !mine.over) notice("The browser holds the sound back. Press anywhere on the page to hear the agent.");
  else notice("");
}

async function openMicrophone() {
  microphone = new Microphone(
    (samples, level) => {
      call?.send?.(samples);
      ring.hearCaller(level);
    },
    () => notice("The microphone is gone. Choose another one, or type."),
  );
  microphone.set(isOpen());
  await microphone.start(localStorage.getItem("microphone") || "");
  await listDevices();
}

function ready({ again, resumed }) {
  show("live", "In a call");
  if (again && !resumed) {
    words.remark("The earlier conversation could not be kept. This is a new one.");
  } else if (resumed) {
    words.remark("The connection was lost for a moment. The conversation goes on.");
  }
  for (const text of waiting.splice(0)) call.type(text);
}

async function ended(reason) {
  waiting.length = 0;
  await close();
  $("empty").hidden = !words.isEmpty;
  show("idle", reason ? "Call ended" : "Ready");
  if (reason) notice(sentence(reason));
}

function sentence(text) {
  const upper = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

async function close() {
  const ends = [microphone?.stop(), speaker?.stop()];
  call = speaker = microphone = null;
  await Promise.allSettled(ends);
}

function showDelay(milliseconds) {
  $("delay").hidden = false;
  $("delay").textContent = `${Math.max(1, Math.round(milliseconds))} ms to the server`;
}

$("talk").addEventListener("click", () => (call ? call.stop() : begin(true)));
addEventListener("pagehide", () => call?.stop());
document.addEventListener("pointerdown", () => {
  if (speaker?.context && speaker.context.state !== "running") speaker.resume();
});

// The microphone's switches.

const isOpen = () => !muted && (!pushing || held);

function applySwitches() {
  $("mute").setAttribute("aria-pressed", muted);
  $("push").setAttribute("aria-pressed", pushing);
  $("hold").hidden = !pushing;
  $("hold").setAttribute("aria-pressed", held);
  $("hold").textContent = muted ? "Muted" : held ? "Listening to you" : "Hold to talk";
  if (document.body.dataset.phase === "Idle" && call?.live) $("hint").textContent = howToSpeak();
  document.body.dataset.open = isOpen();
  microphone?.set(isOpen());
}

function mute() {
  muted = !muted;
  $("announce").textContent = muted ? "Muted" : "Microphone open";
  applySwitches();
}

function hold(down) {
  if (!pushing || held === down) return;
  held = down;
  applySwitches();
}

$("mute").addEventListener("click", mute);
$("push").addEventListener("click", () => {
  pushing = !pushing;
  held = false;
  applySwitches();
});
$("hold").addEventListener("pointerdown", (event) => {
  $("hold").setPointerCapture(event.pointerId);
  hold(true);
});
for (const type of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
  $("hold").addEventListener(type, () => hold(false));
}
$("hold").addEventListener("click", ({ detail }) => {
  if (!detail) hold(!held); // no pointer's click: the Enter key, or a screen reader, which can press but not hold
});
$("hold").addEventListener("keydown", (event) => event.repeat && event.preventDefault());
$("hold").addEventListener("contextmenu", (event) => event.preventDefault());

const isTyping = (event) => event.target.matches("input, select, textarea");
addEventListener("keydown", (event) => {
  if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.code === "Space" && pushing) {
    event.preventDefault();
    hold(true);
  } else if (event.key.toLowerCase() === "m" && !event.repeat) {
    mute();
  }
});
addEventListener("keyup", (event) => {
  if (event.code === "Space" && pushing) {
    event.preventDefault();
    hold(false);
  }
});
addEventListener("blur", () => hold(false));

// Devices.

async function listDevices() {
  if (!navigator.mediaDevices?.enumerateDevices) return;
  const devices = await navigator.mediaDevices.enumerateDevices();
  const inputs = devices.filter(({ kind, deviceId, label }) => kind === "audioinput" && deviceId && label);
  if (!inputs.length) return;
  const chosen = localStorage.getItem("microphone") || "";
  $("devices").replaceChildren(
    new Option("Default microphone", ""),
    ...inputs
      .filter(({ deviceId }) => deviceId !== "default")
      .map(({ deviceId, label }) => new Option(label, deviceId, false, deviceId === chosen)),
  );
}

$("devices").addEventListener("change", async ({ target }) => {
  localStorage.setItem("microphone", target.value);
  try {
    await microphone?.change(target.value);
    await call?.use?.(microphone.track);
    notice("");
  } catch (error) {
    notice(soundTrouble(error));
  }
});
navigator.mediaDevices?.addEventListener?.("devicechange", listDevices);
listDevices();

// WebRTC is offered where the browser and the server have it.

$("way").addEventListener("change", ({ target }) => localStorage.setItem("way", target.value));
peersCan(sessionStorage.getItem("token")).then((can) => {
  $("way").closest("label").hidden = !can;
  if (can) $("way").value = localStorage.getItem("way") || "websocket";
});

// Typing. Before a call, it begins one without a microphone.

function type(text) {
  if (call?.live) return call.type(text);
  waiting.push(text);
  if (!call) begin(false);
}

$("typing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) type(text);
  $("text").value = "";
});
$("prompts").addEventListener("click", ({ target }) => {
  if (target.matches("button")) type(target.textContent);
});

applySwitches();

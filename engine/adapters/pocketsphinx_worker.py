"""The process in which pocketsphinx decodes: `python -m engine.adapters.pocketsphinx_worker FD`.

The library holds the interpreter's lock while it works, so it works here. One process serves many streams. Most of a call is
silence, which a cheap gate keeps from the decoder; a decoder is lent to a stream for one utterance, and the cepstral mean, which
is what a decoder learns of a caller and his line, stays with the stream.
"""

import sys
from collections import deque
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pocketsphinx
import webrtcvad
from msgspec import Struct, json

from engine.adapters.domain import Model, build
from engine.adapters.workers import Kind, Link, enter
from engine.core.units import ENGINE_HZ, FRAME_NS, FRAME_SAMPLES, MS
from engine.errors import ConfigError

GATE_MODE = 2
"""How picky webrtcvad is, 0 to 3. At 2 it misses almost nothing, and what it lets through needlessly costs only CPU."""
GATE_VOICED = 3
"""Voiced frames among the last `GATE_WINDOW` that open the gate."""
GATE_WINDOW = 5
LEAD_FRAMES = 300 * MS // FRAME_NS
"""Sound before the gate opened that is decoded too: weak first consonants, and a little silence, which the model expects."""
TRAIL_FRAMES = 1_200 * MS // FRAME_NS
"""Unvoiced sound after which an utterance ends although nobody asked for it. Longer than any pause the engine waits for."""
UTTERANCE_FRAMES = 30_000 * MS // FRAME_NS
"""The longest utterance; then its words are given out and the next begins. A decoder's memory grows with its utterance."""
SLICE_FRAMES = 5
"""Decoded for one stream before the next has its turn."""
TELL_FRAMES = 100 * MS // FRAME_NS
"""How often the words so far are looked at."""
AGAIN_FRAMES = 4_000 * MS // FRAME_NS
"""A caller's first utterance up to this length is decoded a second time when it is over, because only then his channel is known.
It takes 40 ms for each second of it."""
SPARE_DECODERS = 8
"""Kept when no one speaks; 9 MB each."""


class Settings(Struct, frozen=True):
    """What the parent says first."""

    models: str
    """The folder that comes with the package."""
    domain: str
    """Text. Empty: the general language model."""
    language_weight: float
    word_insertion: float
    leak: float
    narrow_band: str


def find_model(settings: Settings) -> Model:
    """The language model and dictionary to decode with. Raises ConfigError."""
    folder = Path(settings.models) / "en-us"
    general = Model(folder / "en-us.lm.bin", folder / "cmudict-en-us.dict")
    return build(settings.domain, general.dictionary) if settings.domain else general


def load(settings: Settings, model: Model) -> pocketsphinx.Decoder:
    """A decoder of about 9 MB, in about 30 ms. Raises RuntimeError for files it cannot use."""
    return pocketsphinx.Decoder(
        hmm=str(Path(settings.models) / "en-us" / "en-us"),
        dict=str(model.dictionary),
        lm=str(model.language_model),
        lw=settings.language_weight,
        wip=settings.word_insertion,
        fwdflat=False,
        bestpath=True,
        loglevel="FATAL",
    )


class Band:
    """Whether a stream's sound stops at 4 kHz, as a telephone's does. Judged from the loudest sound so far."""

    RATIO = 1e-5
    """Of the power above 4.4 kHz to all power. A telephone line brought to 16 kHz lies below, speech over 16 kHz far above."""
    ENOUGH = 1e6
    """Power per sample (an amplitude of 1,000) from which a frame says anything."""

    def __init__(self, choice: str) -> None:
        self._choice = choice
        self._above = 0.0
        self._all = 0.0

    @property
    def narrow(self) -> bool:
        if self._choice == "auto":
            return self._all > 0 and self._above < self.RATIO * self._all
        return self._choice == "always"

    def hear(self, frame: bytes) -> None:
        if self._choice != "auto":
            return
        samples = np.frombuffer(frame, np.int16).astype(np.float32)
        power = np.abs(np.fft.rfft(samples * WINDOW)) ** 2
        if power.sum() > self.ENOUGH * FRAME_SAMPLES:
            self._above += float(power[ABOVE:].sum())
            self._all += float(power.sum())


WINDOW = np.hanning(FRAME_SAMPLES).astype(np.float32)
ABOVE = 4_400 * FRAME_SAMPLES // ENGINE_HZ


class Channel:
    """The cepstral mean of one caller and his line: what the decoder takes off before it compares sounds.

    The library's own running mean gives its first guess the weight of 500 frames of 10 ms, which is longer than a caller's first
    sentence. Here the guess counts for little, and what was heard for all of it.
    """

    GUESS: ClassVar[dict[bool, tuple[float, ...]]] = {
        False: (47.1, 3.3, 5.2, 11.0, -2.0, 0.4, -0.1, 0.1, 2.0, 1.5, -0.4, 2.4, 0.3),
        True: (48.6, 1.0, 5.5, 8.2, 2.8, -4.3, 4.4, -3.4, 3.4, 0.1, -0.5, 2.9, -0.3),
    }
    """Means of a wide and of a narrow band: the average over 18 people on one microphone, one in a studio, and three synthetic voices."""
    GUESS_FRAMES = np.array([20.0, *[200.0] * 12])
    """The weight of the guess, by coefficient. The first is loudness, which differs most from caller to caller."""
    KNOWN_FRAMES = 200
    """From here on a channel is known: two seconds."""
    MEMORY_FRAMES = 1_500
    """What was heard longer ago fades."""
    LIBRARY_FRAMES = 500
    """The weight of a mean given to the library (CMN_WIN of cmn.h). Up to LIBRARY_FRAMES_MAX frames in all it adds up exactly."""
    LIBRARY_FRAMES_MAX = 800

    def __init__(self) -> None:
        self._mean = np.array(self.GUESS[False])
        self._frames = 0

    @property
    def known(self) -> bool:
        return self._frames >= self.KNOWN_FRAMES

    def begin(self, decoder: pocketsphinx.Decoder, narrow: bool) -> None:
        """Begin an utterance with what is known."""
        if not self._frames:
            self._mean = np.array(self.GUESS[narrow])
        decoder.set_cmn(",".join(f"{value:.4f}" for value in self._mean))
        decoder.start_utt()

    def learn(self, decoder: pocketsphinx.Decoder) -> None:
        """Take in the utterance that has just ended."""
        frames = decoder.n_frames()
        if not frames:
            return
        mean = np.array([float(value) for value in decoder.get_cmn(True).split(",")])
        if self.LIBRARY_FRAMES + frames <= self.LIBRARY_FRAMES_MAX:
            mean += (mean - self._mean) * (self.LIBRARY_FRAMES / frames)
        weight = self.GUESS_FRAMES + min(self._frames, self.MEMORY_FRAMES)
        self._mean = (self._mean * weight + mean * frames) / (weight + frames)
        self._frames += frames


class Decoders:
    """Lends decoders, one for an utterance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model = find_model(settings)
        self._spare = [load(settings, self._model)]

    def lend(self) -> pocketsphinx.Decoder:
        return self._spare.pop() if self._spare else load(self._settings, self._model)

    def give_back(self, decoder: pocketsphinx.Decoder) -> None:
        if len(self._spare) < SPARE_DECODERS:
            self._spare.append(decoder)


class Listener:
    """One stream: gate, utterance, words."""

    def __init__(self, subject: int, link: Link, decoders: Decoders, settings: Settings) -> None:
        self._subject = subject
        self._link = link
        self._decoders = decoders
        self._band = Band(settings.narrow_band)
        self._mirror = np.array([1 + settings.leak, 1 - settings.leak], np.float32)
        self._gate = webrtcvad.Vad(GATE_MODE)
        self._voiced: deque[bool] = deque(maxlen=GATE_WINDOW)
        self._lead: deque[bytes] = deque(maxlen=LEAD_FRAMES)
        self._decoder: pocketsphinx.Decoder | None = None
        self._channel = Channel()
        self._first = bytearray()
        """The sound of an utterance whose channel is not known yet."""
        self._quiet_frames = 0
        self._frames = 0
        self._guess: list[str] = []
        self._told = ""
        self.waiting: deque[bytes | None] = deque()
        """Frames not yet looked at. None: finish."""

    def work(self) -> None:
        """Look at the next few frames, and tell what the words are now."""
        for _ in range(min(SLICE_FRAMES, len(self.waiting))):
            frame = self.waiting.popleft()
            if frame is None:
                self._finish()
            else:
                self._hear(frame)

    def close(self) -> None:
        self.waiting.clear()
        if self._decoder is not None:
            self._decoder.end_utt()
            self._release(self._decoder)

    def _hear(self, frame: bytes) -> None:
        voiced = self._gate.is_speech(frame, ENGINE_HZ)
        if voiced:
            self._band.hear(frame)
        if self._decoder is None:
            self._lead.append(frame)
            self._voiced.append(voiced)
            if sum(self._voiced) >= GATE_VOICED:
                self._begin()
            return
        self._decode(self._decoder, frame)
        if self._frames % TELL_FRAMES == 0:
            self._tell(self._decoder)
        self._quiet_frames = 0 if voiced else self._quiet_frames + 1
        if self._quiet_frames >= TRAIL_FRAMES or self._frames >= UTTERANCE_FRAMES:
            self._finish()

    def _begin(self) -> None:
        self._decoder = self._decoders.lend()
        self._channel.begin(self._decoder, self._band.narrow)
        self._frames = self._quiet_frames = 0
        for frame in self._lead:
            self._decode(self._decoder, frame)
        self._lead.clear()

    def _decode(self, decoder: pocketsphinx.Decoder, frame: bytes) -> None:
        decoder.process_raw(self._shape(frame))
        self._frames += 1
        if not self._channel.known and self._frames <= AGAIN_FRAMES:
            self._first += frame

    def _shape(self, sound: bytes) -> bytes:
        """A narrow band is given some of its mirror image: every second sample weakened does that."""
        if not self._band.narrow:
            return sound
        samples = np.frombuffer(sound, np.int16).reshape(-1, 2) * self._mirror
        return bytes(np.clip(samples, -32_768, 32_767).astype(np.int16).tobytes())

    def _tell(self, decoder: pocketsphinx.Decoder) -> None:
        """Tell the words on which this guess and the one before agree. The newest word of a guess is often wrong."""
        guess = words_of(decoder)
        stable = [new for new, _ in takewhile(lambda pair: pair[0] == pair[1], zip(guess, self._guess, strict=False))]
        self._guess = guess
        text = " ".join(stable)
        if text and text != self._told:
            self._told = text
            self._link.send(Kind.PARTIAL, self._subject, text.encode())

    def _finish(self) -> None:
        """End the utterance and give its words out; nothing, if there was none."""
        self._lead.clear()
        self._voiced.clear()
        decoder = self._decoder
        if decoder is None:
            return
        decoder.end_utt()
        if self._quiet_frames < self._frames // 2:  # the mean of much silence is not the mean of a voice
            again = self._first and self._frames <= AGAIN_FRAMES
            self._channel.learn(decoder)
            if again:
                self._channel.begin(decoder, self._band.narrow)
                decoder.process_raw(self._shape(bytes(self._first)))
                decoder.end_utt()
        text = " ".join(words_of(decoder))
        if text or self._told:
            self._link.send(Kind.FINAL, self._subject, text.encode())
        self._release(decoder)

    def _release(self, decoder: pocketsphinx.Decoder) -> None:
        self._decoders.give_back(decoder)
        self._first.clear()
        self._decoder = None
        self._guess = []
        self._told = ""


def words_of(decoder: pocketsphinx.Decoder) -> list[str]:
    """The best guess of the utterance so far."""
    hypothesis = decoder.hyp()
    return hypothesis.hypstr.split() if hypothesis else []


def serve(link: Link) -> None:
    """Decode until the parent is gone."""
    settings = json.decode(link.hello(), type=Settings)
    try:
        decoders = Decoders(settings)
    except (ConfigError, RuntimeError) as error:
        link.send(
            Kind.REFUSED, 0, "\n".join(error.args if isinstance(error, RuntimeError) else error.problems).encode()
        )
        return
    link.send(Kind.READY)
    listeners: dict[int, Listener] = {}
    while True:
        busy = any(listener.waiting for listener in listeners.values())
        for kind, subject, body in link.receive(wait=not busy):
            if kind is Kind.OPEN:
                listeners[subject] = Listener(subject, link, decoders, settings)
            elif kind is Kind.SOUND:
                listeners[subject].waiting.append(body)
            elif kind is Kind.FINISH:
                listeners[subject].waiting.append(None)
            elif kind is Kind.CLOSE:
                listeners.pop(subject).close()
        for listener in listeners.values():
            listener.work()


if __name__ == "__main__":
    serve(enter(sys.argv))

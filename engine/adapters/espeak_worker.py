"""The process in which espeak-ng speaks: `python -m engine.adapters.espeak_worker FD`.

The library has global state and is GPL-3: it is loaded here and nowhere else. It makes sound a thousand times faster than it is
heard, so texts are spoken one after the other and none waits long. Between two pieces of sound the worker looks whether the text
at hand is still wanted.
"""

import ctypes
import re
import sys
from collections import deque
from typing import Any

import numpy as np
from msgspec import Struct, json

from engine.adapters.workers import Kind, Link, enter
from engine.core.units import SECOND

# Constants of speak_lib.h, espeak-ng 1.52.
SYNCHRONOUS = 2
PIECE_MS = 20
CHARS_UTF8 = 1
POSITION_CHARACTER = 1
EVENT_LIST_ENDS, EVENT_WORD, EVENT_END = 0, 1, 5
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4

QUIET = 200
"""Samples below this are silence. Espeak's own is 0; its faintest fricatives reach about 400."""
GAP_S = {".": 0.22, "!": 0.22, "?": 0.22, ":": 0.14, ";": 0.14, ",": 0.1}
"""Silence after a text by its last character; the library adds none or half a second. Readers pause 0.2 to 0.6 s at a full stop; an answer's
sentences come one a text, and what follows the last of them is only delay, so this stays short."""
TOKEN = re.compile(r"\S+")


class Settings(Struct, frozen=True):
    """What the parent says first."""

    library: str
    data: str
    voice: str
    rate: int
    pitch: int
    pitch_range: int
    volume: int


class EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", EventId),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Utterance:
    """One text on its way to sound: sends the sound on, and where each word of it ends."""

    def __init__(self, subject: int, text: str, link: Link, rate_hz: int) -> None:
        self.subject = subject
        self._link = link
        self._rate_hz = rate_hz
        self._tokens = deque((token.start(), token.end()) for token in TOKEN.finditer(text))
        self._gap_s = GAP_S.get(text.rstrip("\"')")[-1:], 0.0)
        self._samples = 0
        self._held = b""
        """Silence that may be the last: sent when sound follows."""
        self._recent = np.zeros(0, np.int16)
        """The last second of sound, which word events may point into."""

    def hear(self, sound: bytes) -> None:
        self._samples += len(sound) // 2
        samples = np.frombuffer(sound, np.int16)
        self._recent = np.concatenate((self._recent, samples))[-self._rate_hz :]
        loud = np.flatnonzero(np.abs(samples) >= QUIET)
        if not len(loud):
            self._held += sound
            return
        end = 2 * (int(loud[-1]) + 1)
        self._link.send(Kind.SOUND, self.subject, self._held + sound[:end])
        self._held = sound[end:]

    def words_before(self, position: int, sample: int) -> None:
        """A word begins at character `position` and `sample`, so those before it have ended. Both from 0."""
        ended = []
        while self._tokens and self._tokens[0][1] <= position:
            ended.append(self._tokens.popleft())
        if ended:
            end_ns = self._quiet_since(sample) * SECOND // self._rate_hz
            self._link.send(Kind.WORDS, self.subject, json.encode([(end, end_ns) for _, end in ended[-1:]]))

    def _quiet_since(self, sample: int) -> int:
        """Where the silence before `sample` begins."""
        first = self._samples - len(self._recent)
        loud = np.flatnonzero(np.abs(self._recent[: max(0, sample - first)]) >= QUIET)
        return first + int(loud[-1]) + 1 if len(loud) else sample

    def finish(self) -> None:
        if self._tokens:
            self.words_before(self._tokens[-1][1], self._samples)
        size = 2 * int(self._gap_s * self._rate_hz)
        if size:
            self._link.send(Kind.SOUND, self.subject, self._held[:size].ljust(size, b"\0"))
        self._link.send(Kind.DONE, self.subject)


class Mouth:
    """The library, and the texts that wait for it."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self._link = link
        self._waiting: dict[int, str] = {}
        self._utterance: Utterance | None = None
        self._library = ctypes.CDLL(settings.library)
        self.rate_hz = self._library.espeak_Initialize(SYNCHRONOUS, PIECE_MS, settings.data.encode(), 0)
        self._callback = CALLBACK(self._take)  # kept: the library calls it as long as it lives
        self._library.espeak_SetSynthCallback(self._callback)

    def choose(self, settings: Settings) -> str:
        """Set the voice. Returns what is wrong with the settings, or nothing."""
        if self.rate_hz <= 0:
            return f"espeak: the library does not start ({self.rate_hz})"
        if self._library.espeak_SetVoiceByName(settings.voice.encode()):
            return f"espeak.voice: there is no voice {settings.voice!r}"
        for parameter, value in (
            (RATE, settings.rate),
            (VOLUME, settings.volume),
            (PITCH, settings.pitch),
            (RANGE, settings.pitch_range),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        return ""

    def serve(self) -> None:
        """Speak until the parent is gone."""
        while True:
            self._listen(wait=not self._waiting)
            if self._waiting:
                subject = next(iter(self._waiting))
                self._speak(subject, self._waiting.pop(subject))

    def _listen(self, *, wait: bool) -> None:
        for kind, subject, body in self._link.receive(wait=wait):
            if kind is Kind.SPEAK:
                self._waiting[subject] = body.decode()
            elif kind is Kind.CLOSE:
                self._waiting.pop(subject, None)
                if self._utterance is not None and self._utterance.subject == subject:
                    self._utterance = None

    def _speak(self, subject: int, text: str) -> None:
        utterance = self._utterance = Utterance(subject, text, self._link, self.rate_hz)
        data = text.replace("\0", " ").encode()
        status = self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None
        )
        if status:
            self._link.send(Kind.FAILED, subject, str(status).encode())
        elif self._utterance is utterance:
            utterance.finish()
        self._utterance = None

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """The library's callback: sound and what lies in it. 1 ends the synthesis."""
        self._listen(wait=False)
        if self._utterance is None:
            return 1
        if samples and count:
            self._utterance.hear(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != EVENT_LIST_ENDS:
            event = events[index]
            if event.type in (EVENT_WORD, EVENT_END):
                self._utterance.words_before(event.text_position - 1, event.sample)
            index += 1
        return 0


def run(link: Link) -> None:
    settings = json.decode(link.hello(), type=Settings)
    mouth = Mouth(link, settings)
    problem = mouth.choose(settings)
    if problem:
        link.send(Kind.REFUSED, 0, problem.encode())
        return
    link.send(Kind.READY)
    mouth.serve()


if __name__ == "__main__":
    run(enter(sys.argv))

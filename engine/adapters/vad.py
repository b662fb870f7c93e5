"""Voice activity: is someone speaking in this frame?

Two detectors. `silero` is a small neural network behind a cheap gate: a frame that webrtcvad calls quiet, and that comes well after
speech, is not worth 20 µs. `webrtc` is the gate alone: 3 µs a frame, and fooled by the speech of others in the room.
"""

from collections import deque

import webrtcvad

from engine.adapters.base import VoiceDetector
from engine.adapters.silero import WINDOW_SAMPLES, Silero, network
from engine.core.units import ENGINE_HZ, FRAME_NS, MS
from engine.errors import ConfigError

GATE_MODE = 2
"""How picky webrtcvad is, 0 to 3. At 3 it costs 20 ms of onset in noise; below 2 it is open more often and hears no more."""
OPEN_FRAMES = 300 * MS // FRAME_NS
"""How long the network goes on after the gate's last voiced frame: longer than the pauses between words. From 200 to 500 ms the
results are the same."""
KEPT_BYTES = 2 * WINDOW_SAMPLES
"""Sound from before the gate opened that the network is given: the window in which a weak first consonant may lie."""


class WebrtcDetector:
    """webrtcvad, with its yes or no averaged over the last frames."""

    WEIGHTS = (0.5, 0.3, 0.2)
    """Of the newest frame and those before it: one voiced frame alone is 0.5."""

    def __init__(self, mode: int = 3) -> None:
        self._vad = webrtcvad.Vad(mode)
        self._answers = deque([0.0] * len(self.WEIGHTS), len(self.WEIGHTS))

    def score(self, frame: bytes) -> float:
        self._answers.appendleft(float(self._vad.is_speech(frame, ENGINE_HZ)))
        return sum(weight * answer for weight, answer in zip(self.WEIGHTS, self._answers, strict=True))


class SileroGate:
    """Silero behind webrtcvad. Between two windows of the network the last answer stands.

    The network keeps its state while the gate is closed: begun anew it takes murmur in the room for speech.
    """

    def __init__(self) -> None:
        self._gate = webrtcvad.Vad(GATE_MODE)
        self._network = Silero()
        self._waiting = bytearray()
        """Sound the network has not had: part of a window while the gate is open, the last window while it is closed."""
        self._open_frames = 0
        self._prob = 0.0

    @property
    def open(self) -> bool:
        """Whether the network is listening."""
        return self._open_frames > 0

    def score(self, frame: bytes) -> float:
        self._waiting += frame
        if self._gate.is_speech(frame, ENGINE_HZ):
            self._open_frames = OPEN_FRAMES
        elif self._open_frames:
            self._open_frames -= 1
        if not self._open_frames:
            self._prob = 0.0
            del self._waiting[:-KEPT_BYTES]
            return 0.0
        while len(self._waiting) >= 2 * WINDOW_SAMPLES:
            window = bytes(self._waiting[: 2 * WINDOW_SAMPLES])
            del self._waiting[: 2 * WINDOW_SAMPLES]
            self._prob = self._network.step(window)
        return self._prob


DETECTORS: dict[str, type[VoiceDetector]] = {"silero": SileroGate, "webrtc": WebrtcDetector}
"""Name in the configuration -> class."""


def make_detector(name: str) -> VoiceDetector:
    """A detector for one call. Raises ConfigError for a name that is not in DETECTORS.

    The first "silero" of a process reads the network, which takes about 20 ms: `warm` does it ahead of the first call.
    """
    try:
        return DETECTORS[name]()
    except KeyError:
        raise ConfigError(f"unknown voice detector {name!r}; known: {', '.join(sorted(DETECTORS))}") from None


def warm() -> None:
    """Read the network now. Raises ConfigError if the installed one is not the one this engine knows."""
    network()

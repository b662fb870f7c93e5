"""An echo gate for a microphone that hears the loudspeaker: it knows which samples are being played.

While the agent is heard, a frame passes only when it is clearly louder than the echo that is to be expected; otherwise it becomes silence.
How loud that is, is learned from the frames themselves: the level of what was played, times how strongly this room and these devices
couple. What is compared is the loudest heard and the loudest played of a second: frame by frame a pause between two words, and an echo
that is still under way, would look like a room without echoes. With headphones nothing couples, and soon everything passes.

It takes no echo out of the caller's voice, as a canceller would: speaking over the agent has to be louder than its echo.
"""

from collections import deque

from engine.audio import level
from engine.core.units import FRAME_NS, MS

REACH_FRAMES = 500 * MS // FRAME_NS
"""How long after it was played a sound may still come back: the devices' buffers (of Bluetooth loudspeakers 200 to 300 ms), the air and
the room."""
LEARNED_FRAMES = 1_000 * MS // FRAME_NS
"""Of recorded speech, with pauses of 0.1 to 1 s, an echo 20 to 400 ms late and couplings of 0.05 to 0.6, not a frame passes from 0.5 s on; of one
frame at a time nine of ten do."""
MARGIN = 2.0
"""6 dB over the expected echo. A voice at the microphone is usually 10 dB and more over it. A guess."""
COUPLING_FIRST = 0.5
"""Assumed until there has been something to learn from: a laptop's loudspeaker beside its microphone. A guess."""
COUPLING_MAX = 4.0
QUIET_RMS = 30
"""Played sound below this (-61 dBFS) has no echo worth the name."""
RISE, FALL = 0.3, 0.03
"""How fast a louder and a softer coupling is believed: in 60 ms, and in 0.7 s."""
HANGOVER_FRAMES = 10
"""A voice that passed goes on passing for 200 ms: its consonants are softer than its vowels."""


class EchoGate:
    """One microphone and the loudspeaker beside it."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._played: deque[int] = deque(maxlen=REACH_FRAMES)
        self._learned: deque[tuple[int, int]] = deque(maxlen=LEARNED_FRAMES)
        """Of each frame that did not pass: its level, and the loudest that it may be an echo of."""
        self._open_frames = 0
        self.coupling = COUPLING_FIRST
        """RMS of the echo over RMS of what was played."""

    def passes(self, heard: bytes, played: bytes) -> bool:
        """Whether a frame of the microphone, taken while `played` left, is more than an echo. Both PCM16, 20 ms; b"": silence."""
        self._played.append(level(played, self._rate_hz).rms if played else 0)
        loudest = max(self._played)
        if loudest < QUIET_RMS:
            self._open_frames = 0
            return True
        rms = level(heard, self._rate_hz).rms
        if rms > MARGIN * self.coupling * loudest:
            self._open_frames = HANGOVER_FRAMES
            return True
        if self._open_frames:
            self._open_frames -= 1
            return True
        self._learned.append((rms, loudest))
        coupling = min(
            COUPLING_MAX, max(heard for heard, _ in self._learned) / max(played for _, played in self._learned)
        )
        self.coupling += (RISE if coupling > self.coupling else FALL) * (coupling - self.coupling)
        return False

"""The caller's sound on its way in: decoded, framed, given to the recogniser and judged by the detector, in one callback.

Each chunk off the wire is taken to its end here: no queue, no task. Of fifty frames a second only the edges of speech and the
audio deadlines become facts.

Rule 1. Edges follow the detector with hysteresis: `voice_prob_start` for `voice_onset_ns` begins speech, less than `voice_prob_stop`
        for `voice_hangover_ns` ends it. Positions are where the speech was, not where it was proven.
Rule 2. The audio clock counts frames. A burst after jitter neither shortens nor lengthens a pause.
Rule 3. Sound much faster than real time is refused, counted, and told at most once a second.
"""

import math
from collections import deque
from collections.abc import Callable

from engine.adapters.base import RecognizerStream, VoiceDetector
from engine.audio import Inlet, loudness
from engine.core.events import (
    Clock,
    DTMFPressed,
    Fact,
    InputRejected,
    TimerFired,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
)
from engine.core.policy import Policy
from engine.core.units import FRAME_NS, LIMITS, MS, SECOND
from engine.runtime.outbound import Outbound
from engine.transports.base import Capabilities

FLOOD_NS = 5 * SECOND
"""How far the caller's sound may run ahead of the clock. Carriers and pages fall behind and catch up; ahead comes only a flood."""
REJECTIONS_TOLD = 10
"""Refusals told one by one; further ones are told once a second, with their number."""
QUIET_KEPT_FRAMES = SECOND // FRAME_NS
"""Sound kept for the next recogniser while nobody speaks: its first word may have begun before the detector noticed."""
SPOKEN_KEPT_FRAMES = LIMITS.inlet_ns // FRAME_NS
SINCE_FINAL_FRAMES = 500 * MS // FRAME_NS
"""Sound kept across a final that comes while the caller goes on: recognisers' finals lie about 300 to 500 ms behind the voice."""
LEVEL_FRAMES = 5
"""A level for the screen every tenth of a second."""

DIGITS = frozenset("0123456789*#ABCD")


FULL_SCALE = 32_768


def _nothing(*_: object) -> None:
    """What a closed line does."""


def _for_ever() -> int:
    """When everything has had its time."""
    return 2**62


class Inbound:
    """One call's way in. It is the `Line` that the transport tells."""

    def __init__(
        self,
        capabilities: Capabilities,
        policy: Policy,
        detector: VoiceDetector,
        outbound: Outbound,
        post: Callable[[Fact], None],
        now: Callable[[], int],
        meter: Callable[[int, float], None] | None = None,
    ) -> None:
        """meter: told the caller's level (RMS, sample units) and the detector's answer ten times a second."""
        self._name = capabilities.name
        self._inlet = Inlet(capabilities.inbound)
        self._policy = policy
        self._quiet_below = min(policy.voice_prob_start, policy.voice_prob_stop)
        """No speech begins or lasts with less: three frames of four."""
        self._score = detector.score
        self._marked = outbound.marked
        self._played = outbound.played
        self._post = post
        self._now = now
        self._meter = meter
        self.tap: Callable[[bytes], None] | None = None
        """Told every frame, to record it."""
        self._stream: RecognizerStream | None = None
        self._deaf: Callable[[], None] | None = None
        self._kept: deque[bytes] = deque(maxlen=SPOKEN_KEPT_FRAMES)
        self._spoke = False
        """There was speech since the last final."""
        self._rejected = 0
        self._untold = 0
        self._told_at = 0
        self.audio_ns = 0
        """How much of the caller's sound has been heard."""
        self._believed_ns = 0
        """As much as this may have been heard by now: the clock was at least there when it was read last."""
        self.deadline_ns: int | None = None
        """When on the audio clock the rules want to be asked."""
        self.speaking = False
        self._loudest = 0
        """RMS of the loudest frame of the voice at hand, in sample units."""
        self._edge_ns = 0
        """Quiet: where the voiced frames at hand began. Speaking: where the last voiced frame ended."""

    # The transport tells.

    def hear(self, chunk: bytes) -> None:
        """The caller's sound, any length, in the inbound format."""
        if self.audio_ns > self._believed_ns and self._is_flood():
            return
        for frame in self._inlet.push(chunk):
            self._take(frame)

    def hear_base64(self, payload: str | bytes) -> None:
        """The same, still in base64."""
        if self.audio_ns > self._believed_ns and self._is_flood():
            return
        rejected = self._inlet.rejected
        for frame in self._inlet.push_base64(payload):
            self._take(frame)
        if self._inlet.rejected != rejected:
            self.reject("inlet", "sound that is no base64")

    def _is_flood(self) -> bool:
        """Whether the caller's sound has run too far ahead of the clock. The clock is read once in so many seconds of sound."""
        self._believed_ns = self._now() + FLOOD_NS
        if self.audio_ns <= self._believed_ns:
            return False
        self.reject("inlet", "sound faster than real time")
        return True

    def marked(self, name: str) -> None:
        """The peer echoed a mark."""
        self._marked(name)

    def played(self, run: int, samples: int) -> None:
        """The peer has played this many samples of a run."""
        self._played(run, samples)

    def pressed(self, digit: str) -> None:
        """The caller pressed a key."""
        if digit in DIGITS:
            self._post(DTMFPressed(digit=digit))
        else:
            self.rejected("a key that no telephone has")

    def typed(self, text: str) -> None:
        """The caller typed a whole turn."""
        if 0 < len(text) <= LIMITS.transcript_chars:
            self._post(UserTextReceived(text=text))
        else:
            self.rejected(f"a typed turn of {len(text)} characters")

    def rejected(self, reason: str) -> None:
        """Something unusable came and was dropped."""
        self.reject(self._name, reason)

    def reject(self, source: str, reason: str) -> None:
        """Count a refusal, and tell it unless there are too many."""
        self._rejected += 1
        self._untold += 1
        now = self._now()
        if self._rejected <= REJECTIONS_TOLD or now - self._told_at >= SECOND:
            self._told_at = now
            more = f" ({self._untold} times)" if self._untold > 1 else ""
            self._untold = 0
            self._post(InputRejected(source=source, reason=reason + more))

    def close(self) -> None:
        """The call is over: whatever a transport still tells goes nowhere, and nothing of the session is held."""
        self._post = self._marked = self._played = self._meter = _nothing  # type: ignore[assignment]
        self._now = _for_ever
        self._stream = self._deaf = None
        self._kept.clear()

    def reconnect(self, capabilities: Capabilities) -> None:
        """The caller is back, perhaps with another microphone."""
        self._inlet = Inlet(capabilities.inbound)

    # The recogniser.

    def attach(self, stream: RecognizerStream, deaf: Callable[[], None]) -> None:
        """Give a recognition stream the caller's sound, first what the last one never finished.

        deaf: called, while its exception is being handled, when the stream raises; it is given nothing more.
        """
        self._stream, self._deaf = stream, deaf
        for frame in self._kept:
            if self._stream is stream:
                self._give(frame)

    def finalize(self, stream: RecognizerStream) -> None:
        """Ask a stream for the words it has."""
        try:
            stream.finalize()
        except Exception:
            self._lose(stream)

    def _give(self, frame: bytes) -> None:
        stream = self._stream
        if stream is not None:
            try:
                stream.hear(frame)
            except Exception:
                self._lose(stream)

    def _lose(self, stream: RecognizerStream) -> None:
        """Foreign code raised where it may not. It is told to whoever attached it, and the call goes on."""
        if self._stream is stream and self._deaf is not None:
            self._stream, deaf = None, self._deaf
            deaf()

    def detach(self, stream: RecognizerStream) -> None:
        """This stream hears no more. The sound is kept for the next one."""
        if self._stream is stream:
            self._stream = None

    def forget(self) -> None:
        """A final covers what was heard so far."""
        keep = SINCE_FINAL_FRAMES if self.speaking else 0
        while len(self._kept) > keep:
            self._kept.popleft()
        self._spoke = self.speaking

    # One frame.

    def _take(self, frame: bytes) -> None:
        if self.tap is not None:
            self.tap(frame)
        self._kept.append(frame)
        if not self._spoke and len(self._kept) > QUIET_KEPT_FRAMES:
            self._kept.popleft()
        self._give(frame)
        prob = self._score(frame)
        self.audio_ns += FRAME_NS
        if prob < self._quiet_below and not self.speaking:
            self._edge_ns, self._loudest = self.audio_ns, 0
        else:
            self._follow(prob, frame)
        if self.deadline_ns is not None and self.audio_ns >= self.deadline_ns:
            self._post(TimerFired(clock=Clock.AUDIO, audio_ns=self.audio_ns, level_db=self._level_db()))
        if self._meter is not None and self.audio_ns % (LEVEL_FRAMES * FRAME_NS) == 0:
            self._meter(loudness(frame), prob)

    def _level_db(self) -> int:
        """The loudest frame of the voice at hand, in whole dB below full scale. 0: there is none."""
        return round(20 * math.log10(self._loudest / FULL_SCALE)) if self._loudest else 0

    def _follow(self, prob: float, frame: bytes) -> None:
        """Edges of speech. At most one fact."""
        now_ns = self.audio_ns
        if prob >= self._policy.voice_prob_stop:
            self._loudest = max(self._loudest, loudness(frame))
        elif not self.speaking:
            self._loudest = 0
        if self.speaking:
            if prob >= self._policy.voice_prob_stop:
                self._edge_ns = now_ns
            elif now_ns - self._edge_ns >= self._policy.voice_hangover_ns:
                self.speaking = False
                ended, self._edge_ns = self._edge_ns, now_ns
                level_db, self._loudest = self._level_db(), 0
                self._post(UserSpeechStopped(audio_ns=ended, heard_ns=now_ns, level_db=level_db))
        elif prob < self._policy.voice_prob_start:
            self._edge_ns = now_ns
        elif now_ns - self._edge_ns >= self._policy.voice_onset_ns:
            self.speaking = self._spoke = True
            began, self._edge_ns = self._edge_ns, now_ns
            level_db = self._level_db()
            self._post(UserSpeechStarted(audio_ns=began, speech_prob=prob, heard_ns=now_ns, level_db=level_db))

"""A recogniser for comparisons: `python -m bench.peers.recogniser --port 9100`. It speaks Deepgram's v1 wire, so that any engine can use it,
and knows the scorecard's voices, so that every engine is told the same words after the same time.

It looks for the beginnings of the clips in the sound that comes, by correlation, and then says their words: each 250 ms after it was said, the
rest 100 ms after a Finalize. What is no clip (coughs, noise, somebody far away) has no words.
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from starlette.routing import BaseRoute, WebSocketRoute

from engine._codec import Resampler
from engine.core.units import ENGINE_HZ
from engine.sandbox.base import Peer, SocketProvider
from engine.sandbox.deepgram_asr import DeepgramHost
from engine.score.cast import FINAL_MS, WORD_MS
from engine.score.material import voices
from engine.score.sounds import Clip

HZ = 4_000
"""Pitch and the first formants are below 2 kHz; half the sound is half the work."""
BLOCK = 40 * HZ // 1_000
HEAD = 320 * HZ // 1_000
"""So much of a clip's beginning is looked for."""
SURE = 80 * HZ // 1_000
"""A better likeness may come so much later: a vowel is like many."""
RECENT = 1_000 * HZ // 1_000
"""A beginning that was no word by then was none."""
LIKE, CLOSE = 0.65, 0.1
"""How alike a beginning must be, 1 being the same; and how much less than the likest a clip may be and still be meant."""
KEPT = 12 * HZ
QUIET_RMS = 0.002
ENDED = 300 * HZ // 1_000
"""Quiet after the last word that closes an utterance, where nobody asks before."""


class Known(NamedTuple):
    """A clip as this recogniser hears it."""

    sound: Any
    words: tuple[str, ...]
    ends: tuple[int, ...]
    """Samples."""


def known(clip: Clip) -> Known:
    narrow = Resampler(ENGINE_HZ, 8_000)
    pcm = narrow.push((clip.samples * 32_767).astype("<i2").tobytes()) + narrow.flush()
    return Known(thinned(np.frombuffer(pcm, "<i2"), 2), clip.words, tuple(round(end * HZ) for end in clip.ends))


def thinned(samples: Any, factor: int) -> Any:
    whole = samples[: len(samples) // factor * factor].astype(np.float64) / 32_768
    return whole.reshape(-1, factor).mean(axis=1).astype(np.float32)


class Ear:
    """Follows one caller. `hear` returns the words that have become known."""

    def __init__(self, clips: Sequence[Known], rate_hz: int) -> None:
        self._clips = clips
        heads = np.stack([clip.sound[:HEAD] for clip in clips])
        self._heads = (heads / np.linalg.norm(heads, axis=1, keepdims=True)).T
        self._likest: dict[int, tuple[float, int]] = {}
        """Clips whose beginning was heard, perhaps -> how alike, and where."""
        self._factor = rate_hz // HZ
        self._rest = b""
        self._sound = np.zeros(0, np.float32)
        self._first = 0
        """The sample at which `_sound` begins."""
        self._power = self._floor = 0.0
        """Of the newest sound; and of the noise: it follows quiet at once, and voices slowly."""
        self.now = 0
        self._looked = 0
        self._meant: dict[int, int] = {}
        """Clips that are being said, perhaps -> the sample at which they began."""
        self._told = 0
        self.ended = 0
        """The sample at which the last known word ended."""

    def hear(self, pcm: bytes) -> list[str]:
        data = self._rest + pcm
        whole = len(data) - len(data) % (2 * self._factor)
        self._rest = data[whole:]
        self._sound = np.concatenate([self._sound, thinned(np.frombuffer(data[:whole], "<i2"), self._factor)])[-KEPT:]
        self.now += whole // (2 * self._factor)
        self._power += (float(np.mean(self._sound[-BLOCK:] ** 2)) - self._power) * 0.2
        self._floor = self._power if self.now < HZ // 2 else min(self._power, self._floor * 1.01 + 1e-9)
        self._first = self.now - len(self._sound)
        if self.now - self._looked < BLOCK:
            return []
        self._look(self.now - self._looked)
        self._looked = self.now
        return self.words(self.now - WORD_MS * HZ // 1_000)

    def words(self, until: int) -> list[str]:
        """The words of the likeliest clip that ended by then and have not been told."""
        if not self._meant:
            return []
        index, began = max(self._meant.items(), key=lambda meant: self._score(*meant))
        clip = self._clips[index]
        said = sum(began + end <= until for end in clip.ends)
        found = list(clip.words[self._told : said])
        if found:
            self._told, self.ended = said, began + clip.ends[said - 1]
        if said == len(clip.words):
            self._meant, self._likest, self._told = {}, {}, 0
        return found

    def _look(self, new: int) -> None:
        """Note beginnings in the newest sound, and weigh what may be meant."""
        if not self._told:
            self._note_beginnings(new)
            self._meant = {
                index: began
                for index, (_, began) in self._likest.items()
                if self.now - began - HEAD >= SURE and self._score(index, began) >= LIKE - CLOSE
            }
        elif self._meant:
            scores = {meant: self._score(*meant) for meant in self._meant.items()}
            best = max(scores.values())
            self._meant = {index: began for (index, began), score in scores.items() if score >= best - CLOSE}

    def _note_beginnings(self, new: int) -> None:
        self._likest = {index: found for index, found in self._likest.items() if self.now - found[1] < RECENT}
        window = self._sound[-(HEAD + new - 1) :]
        if len(window) < HEAD or np.sqrt(np.mean(window**2)) < QUIET_RMS:
            return
        parts = np.lib.stride_tricks.sliding_window_view(window, HEAD)
        energies = np.concatenate([[0.0], np.cumsum(window.astype(np.float64) ** 2)])
        loud = np.maximum(energies[HEAD:] - energies[:-HEAD] - HEAD * self._floor, 1e-9)
        # What noise takes away from the likeness is given back: only the part above the floor can be a clip.
        scores = parts @ self._heads / np.sqrt(loud)[:, None]
        scores[loud < HEAD * self._floor / 4] = 0.0
        start = self.now - len(window)
        for index, at in enumerate(np.argmax(scores, axis=0)):
            found = float(scores[at, index]), start + int(at)
            if found[0] >= LIKE and found[1] >= self.ended:
                self._likest[index] = max(self._likest.get(index, found), found)

    def _score(self, index: int, began: int) -> float:
        part = self._sound[max(0, began - self._first) :]
        clip = self._clips[index].sound
        part, clip = part[: len(clip)], clip[: len(part)]
        loud = np.sum(part.astype(np.float64) ** 2) - len(part) * self._floor
        return float(np.dot(part, clip) / np.sqrt(max(loud, 1e-9) * np.sum(clip**2)))


class Recogniser(DeepgramHost, SocketProvider):
    """Deepgram's v1/listen for ears that know."""

    def __init__(self, clips: Sequence[Known]) -> None:
        super().__init__()
        self._clips = clips

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute("/v1/listen", self.accept)]

    async def converse(self, peer: Peer) -> None:
        self.seen.clear()
        ear = Ear(self._clips, int(peer.websocket.query_params["sample_rate"]))
        words: list[str] = []
        asked: set[asyncio.Task[None]] = set()

        async def finish() -> None:
            await asyncio.sleep(FINAL_MS / 1_000)
            words.extend(ear.words(ear.now))
            await tell(is_final=True, from_finalize=True)

        async def tell(**flags: bool) -> None:
            text = " ".join(words)
            if flags:
                words.clear()
            await peer.send(results(text, ear.now / HZ, **flags))

        async for message in peer.messages():
            if isinstance(message, bytes):
                if new := ear.hear(message):
                    words += new
                    await tell()
                elif words and ear.now - ear.ended >= ENDED:
                    await tell(is_final=True, speech_final=True)
            elif (order := msgspec.json.decode(message)["type"]) == "Finalize":
                task = asyncio.create_task(finish())
                asked.add(task)
                task.add_done_callback(asked.discard)
            elif order == "CloseStream":
                break
        for task in asked:
            task.cancel()


def results(text: str, heard_s: float, **flags: bool) -> dict[str, object]:
    alternative = {"transcript": text, "confidence": 0.99 if text else 0.0, "words": []}
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 0.0,
        "duration": heard_s,
        "is_final": False,
        "speech_final": False,
        "from_finalize": False,
        "channel": {"alternatives": [alternative]},
        "metadata": {
            "request_id": "00000000-0000-4000-8000-000000000001",
            "model_uuid": "00000000-0000-4000-8000-000000000001",
            "model_info": {"name": "known", "version": "1", "arch": "known"},
        },
        **flags,
    }


def clips_of(material: Any) -> list[Known]:
    """Everything that has words and is said near the telephone."""
    said = (
        material.turns,
        material.beginnings,
        material.digits,
        material.answers,
        material.interruptions,
        material.backchannels,
    )
    return [known(clip) for clips in said for clip in clips]


async def main(port: int) -> None:
    recogniser = Recogniser(clips_of(await voices(None)))
    async with recogniser.serve(port=port) as url:
        print(f"Listening at {url}; the key is {recogniser.key}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=9_100)
    asyncio.run(main(parser.parse_args().port))

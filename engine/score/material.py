"""Who speaks in the scenes, and what."""

from pathlib import Path

from engine.adapters.registry import provider_class
from engine.core.events import Stage
from engine.core.words import trailing_digits
from engine.errors import ConfigError
from engine.score import sounds
from engine.score.scenes import ASIDES, BACKCHANNELS, INTERRUPTIONS, Material
from engine.score.sounds import Clip

SPOKEN_TURNS = (
    "I would like an appointment on Monday",
    "is there anything free on Tuesday at three p.m.",
    "please cancel the one on Friday",
    "what are your opening hours",
)
SPOKEN_BEGINNINGS = ("I would like an appointment on Monday and", "please cancel the one on Friday and")
SPOKEN_DIGITS = ("my number is five five five one two three four", "four six four eight")
SPOKEN_ANSWERS = ("yes", "no", "yes please", "no thank you")


async def voices(folder: Path | None) -> Material:
    """Recorded voices where there are any; the embedded voice for the rest, the same in every run. Raises ConfigError."""
    synthesizer = provider_class(Stage.TTS, "espeak")
    provider = synthesizer(synthesizer.options())
    await provider.start()
    try:
        voice = provider.voice()
        await voice.open()

        async def speak(texts: tuple[str, ...]) -> list[sounds.Clip]:
            return [await sounds.said(voice, text) for text in texts]

        turns, digits = await speak(SPOKEN_TURNS), await speak(SPOKEN_DIGITS)
        beginnings, interruptions = await speak(SPOKEN_BEGINNINGS), await speak(INTERRUPTIONS)
        if folder is not None:
            clips = sounds.recorded(folder)
            long = [clip for clip in clips if len(clip.words) >= 2]
            digits = [clip for clip in long if trailing_digits(" ".join(clip.words)) == len(clip.words)] or digits
            turns = [clip for clip in long if not trailing_digits(" ".join(clip.words))]
            if len(turns) < 2:
                raise ConfigError(f"{folder} has fewer than two turns of two words")
            interruptions += turns[:6]
            beginnings = [Clip(first.samples, (*first.words[:-1], "and"), first.ends) for first in turns[::2]]
        return Material(
            turns=turns,
            beginnings=beginnings,
            digits=digits,
            answers=await speak(SPOKEN_ANSWERS),
            interruptions=interruptions,
            backchannels=await speak(BACKCHANNELS),
            asides=await speak(ASIDES),
        )
    finally:
        await provider.stop()

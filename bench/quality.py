"""How clean each resampler is, and how late: `python -m bench.quality` prints the tables of docs/audio.md.

First the engine's two filters, from their impulse responses. Then all resamplers, by sweeps.

Each tone of a sweep goes in for a second, at 20,000 of 32,767, in chunks of 20 ms and as 16-bit samples, and comes out as
16-bit samples. From the spectrum of the middle of what came out: the gain at the tone, and the strongest line elsewhere. One
line of the rounding to 16 bits lies at -120 dB or below, so that images and aliases show down to there; the sum of all lines
of the rounding, the floor that 16 bits set whatever the filter, is printed under the tables.
"""

import warnings
from collections.abc import Callable

import numpy as np
import samplerate
import soxr
from scipy.signal import resample_poly

from engine import _codec
from tests import reference

warnings.simplefilter("ignore")  # audioop is deprecated

Samples = np.ndarray
Stream = Callable[[Samples, bool], Samples]
"""A chunk and whether it is the last, to what comes out."""

PAIRS = [(8_000, 16_000), (16_000, 8_000), (24_000, 8_000), (24_000, 16_000), (48_000, 16_000), (22_050, 16_000)]
PEAK = 20_000
SPEECH, BEYOND = 0.85, 1.16
"""Of the slower rate's band edge: 3,400 Hz of 4,000 and 6,800 Hz of 8,000; and where a stop band may begin."""


def engine(quality: str) -> Callable[[int, int], Stream]:
    def make(source: int, target: int) -> Stream:
        resampler = _codec.Resampler(source, target, quality)

        def push(chunk: Samples, last: bool) -> Samples:
            out = resampler.push(chunk.tobytes()) + (resampler.flush() if last else b"")
            return np.frombuffer(out, "<i2")

        return push

    return make


def of_soxr(quality: str) -> Callable[[int, int], Stream]:
    def make(source: int, target: int) -> Stream:
        stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality=quality)
        return lambda chunk, last: stream.resample_chunk(chunk, last=last)

    return make


def of_samplerate(kind: str) -> Callable[[int, int], Stream]:
    def make(source: int, target: int) -> Stream:
        stream = samplerate.Resampler(kind, channels=1)

        def push(chunk: Samples, last: bool) -> Samples:
            out = stream.process(chunk.astype(np.float32), target / source, end_of_input=last)
            return np.rint(out).clip(-32768, 32767).astype("<i2")

        return push

    return make


def of_scipy(source: int, target: int) -> Stream:
    """It keeps no state: the whole sound goes through at the end."""
    common = np.gcd(source, target)
    heard: list[Samples] = []

    def push(chunk: Samples, last: bool) -> Samples:
        heard.append(chunk)
        if not last:
            return np.zeros(0, "<i2")
        out = resample_poly(np.concatenate(heard).astype(float), target // common, source // common)
        return np.rint(out).clip(-32768, 32767).astype("<i2")

    return push


def of_audioop(source: int, target: int) -> Stream:
    import audioop

    state = [None]

    def push(chunk: Samples, last: bool) -> Samples:
        out, state[0] = audioop.ratecv(chunk.tobytes(), 2, 1, source, target, state[0])
        return np.frombuffer(out, "<i2")

    return push


def of_av(source: int, target: int) -> Stream:
    import av

    stream = av.AudioResampler(format="s16", layout="mono", rate=target)

    def push(chunk: Samples, last: bool) -> Samples:
        frame = av.AudioFrame.from_ndarray(chunk.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = source
        found = stream.resample(frame) + (stream.resample(None) if last else [])
        return np.concatenate([np.zeros(0, "<i2"), *[part.to_ndarray()[0] for part in found]])

    return push


RESAMPLERS: dict[str, Callable[[int, int], Stream]] = {
    "engine telephone": engine("telephone"),
    "engine high": engine("high"),
    **{f"soxr {quality}": of_soxr(quality) for quality in ("QQ", "LQ", "HQ", "VHQ")},
    "samplerate fastest": of_samplerate("sinc_fastest"),
    "samplerate best": of_samplerate("sinc_best"),
    "scipy resample_poly": of_scipy,
    "swresample (av)": of_av,
    "audioop.ratecv": of_audioop,
}


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> Samples:
    at = np.arange(round(rate_hz * seconds))
    return np.rint(PEAK * np.sin(2 * np.pi * hz * at / rate_hz)).astype("<i2")


def on_line(hz: float) -> float:
    """The nearest frequency that falls on a line of the spectrum, and repeats no sooner than its 0.6 s."""
    return round(hz / 10) * 10 + 5 / 3


def through(stream: Stream, sound: Samples, source: int) -> Samples:
    size = source // 50
    chunks = [sound[at : at + size] for at in range(0, len(sound), size)]
    return np.concatenate([stream(chunk, chunk is chunks[-1]) for chunk in chunks])


def spectrum(out: Samples, rate_hz: int) -> tuple[Samples, Samples]:
    """(frequencies, level of each line over PEAK in dB) of the middle 0.6 s."""
    middle = out[len(out) // 5 : len(out) // 5 + rate_hz * 6 // 10].astype(float)
    window = np.kaiser(len(middle), 18)
    lines = np.abs(np.fft.rfft(middle * window)) / window.sum() * 2 / PEAK
    return np.fft.rfftfreq(len(middle), 1 / rate_hz), 20 * np.log10(np.maximum(lines, 1e-9))


def quality(make: Callable[[int, int], Stream], source: int, target: int) -> tuple[float, float]:
    """(ripple over the speech band, worst image or alias) in dB."""
    edge = min(source, target) / 2
    ripple, worst = 0.0, -200.0
    for hz in np.linspace(100, SPEECH * edge, 18):
        frequencies, level = spectrum(through(make(source, target), tone(on_line(hz), source), source), target)
        near = np.abs(frequencies - hz) < 25
        ripple = max(ripple, abs(level[near].max()))
        worst = max(worst, level[~near & (frequencies > 25)].max())
    for hz in np.linspace(BEYOND * edge, source / 2 - 50, 18) if source > target else ():
        _, level = spectrum(through(make(source, target), tone(on_line(hz), source), source), target)
        worst = max(worst, level.max())
    return ripple, worst


def lag(make: Callable[[int, int], Stream], source: int, target: int) -> tuple[float, float, float]:
    """(least, most) ms by which the output trails the input after a 20 ms chunk, and the share of calls that gave nothing."""
    stream, chunk = make(source, target), tone(440, source, 0.02)
    out, empty, trails = 0, 0, []
    for k in range(1, 151):
        found = len(stream(chunk, False))
        out, empty = out + found, empty + (found == 0)
        if k > 25:
            trails.append((k * len(chunk) / source - out / target) * 1e3)
    return min(trails), max(trails), empty / 150


def rounded_taps(source: int, target: int, kind: str) -> Samples:
    """The filter's impulse response at the common rate, its taps rounded as the codec rounds them."""
    common = int(np.gcd(source, target))
    up, down = target // common, source // common
    taps = reference.prototype(up, down, kind)
    one = 2 ** (14 if kind == "telephone" else 21 if source < 4 * target else 22)
    for phase in range(up):
        exact = taps[phase::up] / taps[phase::up].sum() * one
        row = np.rint(exact)
        left = round(one - row.sum())
        most = np.argsort(-np.sign(left) * (exact - row))[: abs(left)]
        row[most] += np.sign(left)
        taps[phase::up] = row / one / up
    return taps


def filters() -> None:
    """The table of the filters themselves, from their impulse responses."""
    print(
        "| quality | rates | taps | ripple to 0.85 | at the edge | beyond 1.16 | delay |\n|---|---|---|---|---|---|---|"
    )
    for kind in ("telephone", "high"):
        for source, target in [*PAIRS, (48_000, 8_000), (44_100, 48_000)]:
            taps, rate_hz = rounded_taps(source, target, kind), np.lcm(source, target)
            response = 20 * np.log10(np.abs(np.fft.rfft(taps, max(1 << 16, 16 * len(taps)))) + 1e-9)
            at = np.linspace(0, rate_hz / min(source, target), len(response))  # in edges
            ripple, stop = np.abs(response[at <= SPEECH]).max(), response[at >= BEYOND].max()
            delay = _codec.Resampler(source, target, kind).delay_ns / 1e6
            edge = response[np.searchsorted(at, 1)]
            print(
                f"| {kind} | {source} to {target} | {len(taps)} | {ripple:.4f} dB | {edge:.1f} dB | {stop:.1f} dB | {delay:.2f} ms |"
            )


def main() -> None:
    filters()
    for source, target in PAIRS:
        print(f"\n{source} to {target} Hz\n")
        print("| resampler | ripple to 0.85 | worst image or alias | trails its input by | calls that return nothing |")
        print("|---|---|---|---|---|")
        for name, make in RESAMPLERS.items():
            ripple, worst = quality(make, source, target)
            least, most, empty = lag(make, source, target)
            late = (
                "whole sound"
                if empty == 1
                else f"{least:.1f} ms"
                if most - least < 0.2
                else f"{least:.1f} to {most:.1f} ms"
            )
            print(f"| {name} | {ripple:.4f} dB | {worst:.0f} dB | {late} | {empty:.0%} |")
    sound = tone(997, 16_000)
    error = sound - PEAK * np.sin(2 * np.pi * 997 * np.arange(16_000) / 16_000)
    print(f"\nrounding to 16 bits, all lines: {10 * np.log10(np.mean(error**2) / (PEAK**2 / 2)):.1f} dB")


if __name__ == "__main__":
    main()

"""The same piece of work as the audio core and its peers do it; `python -m bench.codec_peers NAME` times one of them.

Each runs in a process of its own. A peer is called the way that suits it best: it gets its own types, made beforehand (numpy
arrays for soxr and scipy, floats for samplerate), and its own types are taken back; only the whole telephone frames begin and
end with the bytes of a message, as they do in a call. Streams keep their state from call to call, but for scipy's
`resample_poly`, which has none, and filters a chunk as if there were silence on both sides.
"""

import base64
import json
import sys
import timeit
import warnings
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import numpy as np

warnings.simplefilter("ignore")  # audioop is deprecated; that is why it is a peer and not a part

Work = Callable[[], object]
SIZES = {"20 ms": 0.02, "1 s": 1.0, "10 s": 10.0}
TELEPHONE = [(8_000, 16_000), (16_000, 8_000)]
HIGH = [(24_000, 8_000), (24_000, 16_000), (48_000, 16_000), (22_050, 16_000)]
SID = "MZ18ad3ab5a668481ce02b83e7395059f0"


def speech(samples: int) -> np.ndarray:
    """Noise with the loudness of speech, swelling and sinking four times a second, so that no branch is learnt by heart."""
    at = np.arange(samples)
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * at / 4_000)
    return np.rint(np.random.default_rng(7).standard_normal(samples) * 6_000 * swell).clip(-32768, 32767).astype("<i2")


def message(ulaw: bytes) -> bytes:
    """What Twilio sends for 20 ms."""
    media = {"track": "inbound", "chunk": "42", "timestamp": "840", "payload": base64.b64encode(ulaw).decode()}
    return json.dumps({"event": "media", "sequenceNumber": "43", "media": media, "streamSid": SID}).encode()


def ulaw_of(pcm: np.ndarray) -> bytes:
    from engine import _codec

    return _codec.pcm16_to_ulaw(pcm.tobytes())


# -- who does what: each takes a length in seconds and gives a function to be timed, by the name of the work --------------


def engine(seconds: float) -> dict[str, Work]:
    import msgspec

    from engine import _codec

    class Media(msgspec.Struct):
        payload: str

    class Message(msgspec.Struct):
        event: str
        media: Media

    class Out(msgspec.Struct):
        streamSid: str  # noqa: N815
        media: Media
        event: str = "media"

    pcm = speech(round(8_000 * seconds)).tobytes()
    ulaw, alaw = _codec.pcm16_to_ulaw(pcm), _codec.pcm16_to_alaw(pcm)
    work: dict[str, Work] = {
        "ulaw decode": lambda: _codec.ulaw_to_pcm16(ulaw),
        "ulaw encode": lambda: _codec.pcm16_to_ulaw(pcm),
        "alaw decode": lambda: _codec.alaw_to_pcm16(alaw),
        "alaw encode": lambda: _codec.pcm16_to_alaw(pcm),
        "base64 encode": lambda: _codec.to_base64(ulaw),
        "level": lambda: _codec.level(pcm, 8_000),
    }
    for pairs, quality in ((TELEPHONE, "telephone"), (HIGH, "high")):
        for source, target in pairs:
            push = _codec.Resampler(source, target, quality, live=True).push
            sound = speech(round(source * seconds)).tobytes()
            work[f"{source}-{target}"] = lambda push=push, sound=sound: push(sound)
    if seconds == SIZES["20 ms"]:
        inlet, outlet = _codec.Inlet("ulaw", 8_000), _codec.Outlet(24_000, "ulaw", 8_000)
        decode, encode, text = msgspec.json.Decoder(Message).decode, msgspec.json.Encoder().encode, message(ulaw)
        voice = speech(480).tobytes()
        empty = _codec.Framer(640)
        work |= {
            "telephone in": lambda: inlet.push_base64(decode(text).media.payload),
            "telephone out": lambda: encode(Out(SID, Media(outlet.push_base64(voice)))),
            "empty call": empty.flush,
        }
    return work


def copy(seconds: float) -> dict[str, Work]:
    """The floor: as many bytes as the work gives back, allocated and copied."""
    pcm = bytearray(speech(round(8_000 * seconds)).tobytes())
    half = pcm[: len(pcm) // 2]
    return {"ulaw decode": lambda: bytes(pcm), "ulaw encode": lambda: bytes(half)}


def audioop(seconds: float) -> dict[str, Work]:
    import audioop

    pcm = speech(round(8_000 * seconds)).tobytes()
    ulaw, alaw = audioop.lin2ulaw(pcm, 2), audioop.lin2alaw(pcm, 2)
    work: dict[str, Work] = {
        "ulaw decode": lambda: audioop.ulaw2lin(ulaw, 2),
        "ulaw encode": lambda: audioop.lin2ulaw(pcm, 2),
        "alaw decode": lambda: audioop.alaw2lin(alaw, 2),
        "alaw encode": lambda: audioop.lin2alaw(pcm, 2),
    }
    for source, target in TELEPHONE + HIGH:
        sound, state = speech(round(source * seconds)).tobytes(), [None]

        def ratecv(sound=sound, source=source, target=target, state=state):
            out, state[0] = audioop.ratecv(sound, 2, 1, source, target, state[0])
            return out

        work[f"{source}-{target}"] = ratecv
    return work


def numpy(seconds: float) -> dict[str, Work]:
    from engine import _codec

    pcm = speech(round(8_000 * seconds)).tobytes()
    decoded = np.frombuffer(_codec.ulaw_to_pcm16(bytes(range(256))), "<i2")
    encoded = np.frombuffer(_codec.pcm16_to_ulaw(np.arange(65536).astype("<u2").tobytes()), np.uint8)
    ulaw = _codec.pcm16_to_ulaw(pcm)
    return {
        "ulaw decode": lambda: decoded[np.frombuffer(ulaw, np.uint8)].tobytes(),
        "ulaw encode": lambda: encoded[np.frombuffer(pcm, "<u2")].tobytes(),
    }


def soxr(seconds: float, quality: str = "HQ") -> dict[str, Work]:
    import soxr

    work: dict[str, Work] = {}
    for source, target in TELEPHONE + HIGH:
        stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality=quality)
        sound = speech(round(source * seconds))
        work[f"{source}-{target}"] = lambda stream=stream, sound=sound: stream.resample_chunk(sound)
    return work


def soxr_vhq(seconds: float) -> dict[str, Work]:
    return soxr(seconds, "VHQ")


def samplerate(seconds: float) -> dict[str, Work]:
    import samplerate

    work: dict[str, Work] = {}
    for source, target in TELEPHONE + HIGH:
        stream = samplerate.Resampler("sinc_fastest", channels=1)
        sound = speech(round(source * seconds)).astype(np.float32)
        work[f"{source}-{target}"] = lambda s=stream, x=sound, ratio=target / source: s.process(x, ratio)
    return work


def scipy(seconds: float) -> dict[str, Work]:
    from math import gcd

    from scipy.signal import resample_poly

    work: dict[str, Work] = {}
    for source, target in TELEPHONE + HIGH:
        common = gcd(source, target)
        sound = speech(round(source * seconds)).astype(np.float32)
        work[f"{source}-{target}"] = lambda x=sound, up=target // common, down=source // common: resample_poly(
            x, up, down
        )
    return work


def av(seconds: float) -> dict[str, Work]:
    import av

    work: dict[str, Work] = {}
    for source, target in TELEPHONE + HIGH:
        frame = av.AudioFrame.from_ndarray(speech(round(source * seconds)).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = source
        stream = av.AudioResampler(format="s16", layout="mono", rate=target)
        work[f"{source}-{target}"] = lambda stream=stream, frame=frame: stream.resample(frame)
    return work


def stack(seconds: float) -> dict[str, Work]:
    """A telephone frame the way Python voice stacks carry it: json, base64, audioop, numpy, soxr HQ."""
    if seconds != SIZES["20 ms"]:
        return {}
    import audioop

    import soxr

    text, voice = message(ulaw_of(speech(160))), speech(480).tobytes()
    up = soxr.ResampleStream(8_000, 16_000, 1, dtype="int16", quality="HQ")
    down = soxr.ResampleStream(24_000, 8_000, 1, dtype="int16", quality="HQ")

    def inbound() -> bytes:
        pcm = audioop.ulaw2lin(base64.b64decode(json.loads(text)["media"]["payload"]), 2)
        return up.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()

    def outbound() -> str:
        pcm = down.resample_chunk(np.frombuffer(voice, np.int16)).tobytes()
        payload = base64.b64encode(audioop.lin2ulaw(pcm, 2)).decode()
        return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}})

    return {"telephone in": inbound, "telephone out": outbound}


PEERS: dict[str, tuple[Callable[[float], dict[str, Work]], str]] = {
    "engine": (engine, "engine"),
    "copy": (copy, ""),
    "audioop": (audioop, ""),
    "numpy": (numpy, "numpy"),
    "soxr HQ": (soxr, "soxr"),
    "soxr VHQ": (soxr_vhq, "soxr"),
    "samplerate": (samplerate, "samplerate"),
    "scipy": (scipy, "scipy"),
    "av": (av, "av"),
    "stack": (stack, "soxr"),
}


def nanoseconds(work: Work) -> tuple[float, float]:
    """(best, median) of a call, over seven batches of 10 ms or so."""
    for _ in range(20):
        work()
    once = timeit.timeit(work, number=1)
    number = max(1, round(0.01 / max(once, 1e-7)))
    batches = [batch / number * 1e9 for batch in timeit.repeat(work, number=number, repeat=7)]
    return min(batches), median(batches)


def main(name: str) -> None:
    """Time everything that one peer can do and print it as JSON."""
    make, package = PEERS[name]
    found = {size: {what: nanoseconds(work) for what, work in make(seconds).items()} for size, seconds in SIZES.items()}
    print(json.dumps({"version": version(package) if package else sys.version.split()[0], "times": found}))


if __name__ == "__main__":
    main(sys.argv[1])

"""The same for the objects around the loops: `pip install atheris`, then `python fuzz/codec_atheris.py -len_control=0 -max_total_time=60`.

Whatever arrives, a stream neither raises nor crashes, and gives the same sound in one piece as in many.
"""

import sys

import atheris

with atheris.instrument_imports():
    from engine import _codec

CODINGS = ("pcm16", "ulaw", "alaw")
QUALITIES = ("telephone", "high")


def one_input(data: bytes) -> None:
    """Choose an inlet, cut the sound, and compare."""
    choose = atheris.FuzzedDataProvider(data)
    arguments = (
        CODINGS[choose.ConsumeIntInRange(0, 2)],
        _codec.RATES_HZ[choose.ConsumeIntInRange(0, len(_codec.RATES_HZ) - 1)],
        QUALITIES[choose.ConsumeIntInRange(0, 1)],
    )
    cuts = choose.ConsumeIntListInRange(4, 0, 2_000)
    sound = choose.ConsumeBytes(4_000)
    whole, parts = _codec.Inlet(*arguments), _codec.Inlet(*arguments)
    expected = whole.push(sound) + whole.flush()
    actual = []
    for cut in cuts:
        actual += parts.push(sound[:cut])
        sound = sound[cut:]
    actual += parts.push(sound) + parts.flush()
    assert actual == expected
    whole.push_base64(choose.ConsumeUnicode(400))
    whole.push_base64(choose.ConsumeBytes(400))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

"""Units, formats and limits."""

import pytest

from engine.core.units import MS, SECOND, AudioFormat, Encoding


@pytest.mark.parametrize(
    ("rate_hz", "encoding", "duration_ns", "size_bytes"),
    [
        (16_000, Encoding.PCM16, 20 * MS, 640),
        (8_000, Encoding.ULAW, 20 * MS, 160),
        (8_000, Encoding.ALAW, 1 * SECOND, 8_000),
        (48_000, Encoding.PCM16, 10 * MS, 960),
        (16_000, Encoding.PCM16, 0, 0),
    ],
)
def test_sound_of_a_format_has_a_size_for_each_duration(
    rate_hz: int, encoding: Encoding, duration_ns: int, size_bytes: int
) -> None:
    wire = AudioFormat(rate_hz, encoding)
    assert wire.bytes_in(duration_ns) == size_bytes
    assert wire.duration_ns(size_bytes) == duration_ns


def test_only_whole_samples_and_whole_nanoseconds_count() -> None:
    wire = AudioFormat(11_025, Encoding.PCM16)
    assert wire.bytes_in(20 * MS) == 440
    assert wire.duration_ns(441) == wire.duration_ns(440) == 19_954_648
    assert wire.bytes_in(wire.duration_ns(442)) == 440

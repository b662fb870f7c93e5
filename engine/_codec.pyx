"""Objects and checks around the inner loops of `_codec.h` and its neighbours. The contract is `_codec.pyi`."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    int PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from "_codec.h" nogil:
    struct sound_level:
        int32_t rms, peak, clipped, periodicity
    struct filter:
        int32_t up, down, half, taps, fine, stride, pairs
        int16_t *rows
        int16_t *advance
        int32_t *coarse_pairs
        int32_t *fine_pairs
        int32_t *spans
    struct kernels:
        const char *name
        void (*ulaw_decode)(const uint8_t *, int16_t *, int64_t) noexcept
        void (*ulaw_encode)(const int16_t *, uint8_t *, int64_t) noexcept
        void (*alaw_decode)(const uint8_t *, int16_t *, int64_t) noexcept
        void (*alaw_encode)(const int16_t *, uint8_t *, int64_t) noexcept
        void (*mix)(const int16_t *, const int16_t *, int16_t *, int64_t) noexcept
        void (*gain)(const int16_t *, int16_t *, int64_t, int32_t) noexcept
        void (*base64_encode)(const uint8_t *, char *, int64_t) noexcept
        int (*base64_decode)(const uint8_t *, uint8_t *, int64_t, int64_t) noexcept
    const kernels *codec_kernels(int)
    void pcm_fade(int16_t *, int64_t, int64_t, int64_t, int)
    int32_t pcm_rms(const int16_t *, int64_t)
    void pcm_level(const int16_t *, int64_t, int32_t, sound_level *)
    void mask_octets(const uint8_t *, uint8_t *, int64_t, const uint8_t *)
    const uint8_t *lone_payload(const uint8_t *, int64_t *, uint8_t)
    bint all_ascii(const uint8_t *, int64_t)
    int64_t base64_encoded_bytes(int64_t)
    int64_t base64_decoded_bytes(const uint8_t *, int64_t)

cdef extern from "_resample.h" nogil:
    struct resampler:
        const filter *filter
        int64_t taken, given
        int32_t row, last, fill, room, lead
        int16_t *held
    enum: COARSE_BITS
    void filter_begin(filter *)
    void filter_row(const filter *, int32_t, double, int, int32_t *, double *)
    void filter_middle(filter *, const int32_t *)
    void filter_split(filter *, const int32_t *)
    void filter_deal(filter *)
    int64_t resampler_due(const resampler *, int64_t)
    int32_t resampler_room(const filter *)
    size_t resampler_bytes(const filter *)
    void resampler_begin(resampler *, int)
    int32_t resampler_ready(resampler *)
    int32_t resampler_make(resampler *, const kernels *, int16_t *, int32_t)

cdef extern from "_playout.h" nogil:
    enum: PLAYOUT_RUNS
    enum:
        PLAYOUT_BLOCK
        PLAYOUT_BLOCKS_FIRST
    struct track:
        int64_t run, first, sent, written
        int32_t open
    struct playout:
        track *tracks
        int64_t capacity, retained
        int32_t fade, blocks, fresh, freed
        int32_t *next
        int16_t *sound
    int32_t playout_blocks(int64_t)
    track *playout_track(playout *, int64_t)
    int playout_open(playout *, int64_t)
    int64_t playout_write(playout *, track *, const int16_t *, int64_t)
    void playout_read(playout *, track *, int16_t *, int64_t)
    void playout_keep_from(playout *, track *, int64_t)
    int64_t playout_rewind(playout *, track *, int64_t)
    void playout_drop(playout *, track *)

cdef extern from "_conceal.h" nogil:
    enum: CONCEAL_HZ_MAX
    struct concealer:
        int32_t rate_hz
    void conceal_lost(concealer *, int16_t *, int64_t)
    void conceal_heard(concealer *, int16_t *, int64_t)
    uint32_t noise_fill(uint32_t, int16_t *, int64_t, int32_t)


RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


# The chosen variant of the loops: the best that this machine can run, but for a test that asks for another.
cdef const kernels *K = codec_kernels(0)


def clones():
    cdef int rank = 0
    cdef list names = []
    while codec_kernels(rank):
        names.append(codec_kernels(rank).name.decode())
        rank += 1
    return tuple(names)


def _use(str name not None):
    global K
    cdef int rank = 0
    while codec_kernels(rank):
        if codec_kernels(rank).name.decode() == name:
            K = codec_kernels(rank)
            return
        rank += 1
    raise ValueError(f"this machine does not run {name!r}, only {', '.join(clones())}")


# -- stateless ------------------------------------------------------------------------------------------------------

cdef inline bytes room_for(int64_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline int16_t *samples_of(bytes pcm) noexcept:
    return <int16_t *>PyBytes_AS_STRING(pcm)


cdef inline int64_t whole_samples(bytes pcm) except -1:
    cdef int64_t size = PyBytes_GET_SIZE(pcm)
    if size & 1:
        raise ValueError(f"PCM16 has 2 bytes a sample, and {size} bytes is an odd number")
    return size >> 1


def ulaw_to_pcm16(bytes ulaw not None):
    cdef int64_t n = PyBytes_GET_SIZE(ulaw)
    cdef bytes out = room_for(2 * n)
    K.ulaw_decode(<uint8_t *>PyBytes_AS_STRING(ulaw), samples_of(out), n)
    return out


def pcm16_to_ulaw(bytes pcm not None):
    cdef int64_t n = whole_samples(pcm)
    cdef bytes out = room_for(n)
    K.ulaw_encode(samples_of(pcm), <uint8_t *>PyBytes_AS_STRING(out), n)
    return out


def alaw_to_pcm16(bytes alaw not None):
    cdef int64_t n = PyBytes_GET_SIZE(alaw)
    cdef bytes out = room_for(2 * n)
    K.alaw_decode(<uint8_t *>PyBytes_AS_STRING(alaw), samples_of(out), n)
    return out


def pcm16_to_alaw(bytes pcm not None):
    cdef int64_t n = whole_samples(pcm)
    cdef bytes out = room_for(n)
    K.alaw_encode(samples_of(pcm), <uint8_t *>PyBytes_AS_STRING(out), n)
    return out


cdef str text_of(const uint8_t *data, int64_t n):
    cdef str out = PyUnicode_New(base64_encoded_bytes(n), 127)
    K.base64_encode(data, <char *>PyUnicode_DATA(out), n)
    return out


cdef inline const uint8_t *payload_of(object payload, int64_t *size) except NULL:
    """Characters of a text or bytes of bytes. A text that is not ASCII is one character that base64 does not have."""
    if PyUnicode_Check(payload):
        size[0] = PyUnicode_GET_LENGTH(payload) if PyUnicode_IS_ASCII(payload) else 1
        return <const uint8_t *>PyUnicode_DATA(payload)
    size[0] = PyBytes_GET_SIZE(<bytes?>payload)
    return <const uint8_t *>PyBytes_AS_STRING(payload)


cdef inline const uint8_t *octets_of(object part, int64_t *size) except NULL:
    """A text as UTF-8, which an ASCII one is already, or bytes as they are."""
    cdef Py_ssize_t n
    cdef const char *text
    if PyUnicode_Check(part):
        text = PyUnicode_AsUTF8AndSize(part, &n)
        size[0] = n
        return <const uint8_t *>text
    size[0] = PyBytes_GET_SIZE(<bytes?>part)
    return <const uint8_t *>PyBytes_AS_STRING(part)


def to_base64(bytes data not None):
    return text_of(<uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def from_base64(payload):
    cdef int64_t n
    cdef const uint8_t *data = payload_of(payload, &n)
    cdef int64_t size = base64_decoded_bytes(data, n)
    cdef bytes out = room_for(size if size > 0 else 0)
    if size < 0 or K.base64_decode(data, <uint8_t *>PyBytes_AS_STRING(out), n, size) != 0:
        raise ValueError(f"{len(payload)} characters that are no padded base64")
    return out


def pcm16_to_ulaw_base64(bytes pcm not None):
    cdef uint8_t wire[1024]
    cdef int64_t n = whole_samples(pcm)
    if n > 1024:
        return to_base64(pcm16_to_ulaw(pcm))
    K.ulaw_encode(samples_of(pcm), wire, n)
    return text_of(wire, n)


def websocket_frame(int first, bytes mask not None, tuple parts not None):
    cdef int64_t size = 0, head = 2, at = 0, i, n
    cdef uint8_t key[4]
    cdef uint8_t *to
    cdef const uint8_t *data
    if PyBytes_GET_SIZE(mask) != 4:
        raise ValueError(f"a mask is 4 bytes, not {PyBytes_GET_SIZE(mask)}")
    for part in parts:
        octets_of(part, &n)
        size += n
    if size > 125:
        head = 4 if size < 1 << 16 else 10
    cdef bytes out = room_for(head + 4 + size)
    to = <uint8_t *>PyBytes_AS_STRING(out)
    to[0] = <uint8_t>first
    to[1] = 0x80 | <uint8_t>(size if head == 2 else 126 if head == 4 else 127)
    for i in range(2, head):
        to[i] = <uint8_t>(size >> 8 * (head - 1 - i))
    to += head
    memcpy(to, PyBytes_AS_STRING(mask), 4)
    to += 4
    for part in parts:
        data = octets_of(part, &n)
        for i in range(4):
            key[i] = (<const uint8_t *>PyBytes_AS_STRING(mask))[(at + i) & 3]
        mask_octets(data, to, n, key)
        to += n
        at += n
    return out


def lone_text(bytes frame not None):
    cdef int64_t n = PyBytes_GET_SIZE(frame)
    cdef const uint8_t *payload = lone_payload(<const uint8_t *>PyBytes_AS_STRING(frame), &n, 0x81)
    if payload is NULL:
        return None
    cdef str text = PyUnicode_New(n, 127)
    cdef uint8_t *to = <uint8_t *>PyUnicode_DATA(text)
    mask_octets(payload, to, n, payload - 4)
    return text if all_ascii(to, n) else None


def mix(bytes first not None, bytes second not None):
    cdef int64_t n = whole_samples(first)
    if PyBytes_GET_SIZE(second) != 2 * n:
        raise ValueError(f"cannot mix {2 * n} bytes with {PyBytes_GET_SIZE(second)}")
    cdef bytes out = room_for(2 * n)
    K.mix(samples_of(first), samples_of(second), samples_of(out), n)
    return out


def pcm16_to_float32(bytes pcm not None):
    cdef int64_t n = whole_samples(pcm), i
    cdef bytes out = room_for(4 * n)
    cdef int16_t *samples = samples_of(pcm)
    cdef float *to = <float *>PyBytes_AS_STRING(out)
    for i in range(n):
        to[i] = samples[i] * <float>(1.0 / 32768)
    return out


def gain(bytes pcm not None, double factor):
    cdef int64_t n = whole_samples(pcm)
    if not 0 <= factor < 16:
        raise ValueError(f"a gain is 0 or more and less than 16, not {factor}")
    cdef bytes out = room_for(2 * n)
    K.gain(samples_of(pcm), samples_of(out), n, <int32_t>(factor * 4096 + 0.5))
    return out


def rms(bytes pcm not None):
    return pcm_rms(samples_of(pcm), whole_samples(pcm))


def level(bytes pcm not None, int rate_hz):
    cdef sound_level found
    cdef int64_t n = whole_samples(pcm)
    if not 8_000 <= rate_hz <= 48_000:
        raise ValueError(f"the rate must be from 8000 to 48000 Hz, not {rate_hz}")
    pcm_level(samples_of(pcm), n, rate_hz, &found)
    return found.rms, found.peak, found.clipped, found.periodicity


# -- resampling -----------------------------------------------------------------------------------------------------

# Half the filter's length in half samples of the slower rate, and its window's shape. The curves are in docs/audio.md.
# telephone: 63 taps at 16 kHz, under 2 ms at 8 kHz; no fine part. high: flat to 0.85 of the slower rate's edge, away from 1.15.
cdef dict QUALITIES = {"telephone": (32, 6.2, False), "high": (44, 10.06, True)}


cdef void *allocate(size_t count, size_t size) except NULL:
    cdef void *memory = PyMem_Malloc(max(<size_t>1, count * size))
    if not memory:
        raise MemoryError
    return memory


cdef class _Design:
    """A filter, made once for each pair of rates and quality, shared by all streams."""

    cdef filter f
    cdef bint identity

    def __cinit__(self, int source_hz, int target_hz, str quality):
        cdef int a = source_hz, b = target_hz
        while b:
            a, b = b, a % b
        halves, beta, fine = QUALITIES[quality]
        self.f.up = target_hz // a
        self.f.down = source_hz // a
        # Bits beyond the coarse 14, so that the rounding of the taps stays under -100 dB in sum; longer rows need one more.
        self.f.fine = 0 if not fine else 7 if source_hz < 4 * target_hz else 8
        self.identity = source_hz == target_hz
        self.f.half = 0 if self.identity else halves * max(self.f.up, self.f.down) // 2 - 1
        filter_begin(&self.f)
        cdef size_t total = <size_t>self.f.up * self.f.taps, dealt
        cdef int bits = COARSE_BITS + self.f.fine
        cdef int32_t i
        cdef int32_t *rows = NULL
        cdef double *exact = NULL
        try:
            rows = <int32_t *>allocate(total, sizeof(int32_t))
            exact = <double *>allocate(self.f.taps, sizeof(double))
            for i in range(self.f.up):
                filter_row(&self.f, i, beta, bits, rows + <size_t>i * self.f.taps, exact)
            filter_middle(&self.f, rows)
            self.f.rows = <int16_t *>allocate(<size_t>self.f.up * self.f.stride, sizeof(int16_t))
            self.f.advance = <int16_t *>allocate(self.f.up, sizeof(int16_t))
            filter_split(&self.f, rows)
        finally:
            PyMem_Free(rows)
            PyMem_Free(exact)
        if self.f.pairs:
            dealt = <size_t>self.f.up * self.f.down
            self.f.coarse_pairs = <int32_t *>allocate(dealt * self.f.pairs, sizeof(int32_t))
            self.f.fine_pairs = <int32_t *>allocate(dealt * self.f.pairs, sizeof(int32_t))
            self.f.spans = <int32_t *>allocate(dealt * 2, sizeof(int32_t))
            filter_deal(&self.f)

    def __dealloc__(self):
        PyMem_Free(self.f.rows)
        PyMem_Free(self.f.advance)
        PyMem_Free(self.f.coarse_pairs)
        PyMem_Free(self.f.fine_pairs)
        PyMem_Free(self.f.spans)


cdef dict designs = {}


cdef _Design design_for(int source_hz, int target_hz, str quality):
    for rate_hz in (source_hz, target_hz):
        if rate_hz not in RATES_HZ:
            raise ValueError(f"{rate_hz} Hz is not one of {', '.join(map(str, RATES_HZ))}")
    if quality not in QUALITIES:
        raise ValueError(f"quality {quality!r} is not one of {', '.join(QUALITIES)}")
    key = source_hz, target_hz, quality
    if key not in designs:
        designs[key] = _Design(source_hz, target_hz, quality)
    return designs[key]


cdef class _Stream:
    """A resampler's state and the odd byte of a split sample. The base of what takes PCM16 in chunks."""

    cdef resampler r
    cdef _Design design
    cdef bint live
    cdef int odd
    cdef readonly int source_hz
    cdef readonly int target_hz

    cdef int prepare(self, int source_hz, int target_hz, str quality, bint live) except -1:
        self.source_hz = source_hz
        self.target_hz = target_hz
        self.design = design_for(source_hz, target_hz, quality)
        self.live = live
        self.r.filter = &self.design.f
        self.r.room = resampler_room(self.r.filter)
        self.r.held = <int16_t *>allocate(resampler_bytes(self.r.filter), 1)
        self.begin()
        return 0

    def __dealloc__(self):
        PyMem_Free(self.r.held)

    cdef void begin(self) noexcept:
        resampler_begin(&self.r, self.live)
        self.odd = -1

    @property
    def delay_ns(self):
        return <int64_t>self.r.filter.half * 1_000_000_000 // (self.source_hz * <int64_t>self.r.filter.up)

    @property
    def state_bytes(self):
        return self.__sizeof__() + resampler_bytes(self.r.filter)

    cdef int64_t due(self, int64_t extra_bytes) noexcept:
        """How many outputs there will be once that many bytes more have come."""
        cdef int64_t samples = (extra_bytes + (1 if self.odd >= 0 else 0)) >> 1
        return resampler_due(&self.r, self.r.taken + samples) - self.r.given

    cdef void feed(self, const uint8_t *data, int64_t size, int16_t *out) noexcept:
        """Take PCM16 bytes, however split; write every output they determine."""
        cdef int32_t room
        cdef int64_t step
        cdef int16_t *into
        while size > 0:
            room = resampler_ready(&self.r)
            into = self.r.held + self.r.fill
            if self.odd >= 0:
                into[0] = <int16_t>(self.odd | data[0] << 8)
                self.odd = -1
                data += 1
                size -= 1
                step = 1
            else:
                step = min(<int64_t>room, size >> 1)
                if step == 0:
                    self.odd = data[0]
                    return
                memcpy(into, data, step * 2)
                data += 2 * step
                size -= 2 * step
            self.r.fill += <int32_t>step
            self.r.taken += step
            out += resampler_make(&self.r, K, out, 0x7FFFFFFF)

    cdef int64_t rest(self) noexcept:
        """How many outputs are still to come when the stream ends here: all that begin before its last sample ends."""
        cdef int64_t whole = (self.r.taken * self.r.filter.up + self.r.filter.down - 1) // self.r.filter.down
        return whole + self.r.lead - self.r.given

    cdef void finish(self, int16_t *out, int64_t n) noexcept:
        """The last n outputs, with silence behind the end; then begin again."""
        cdef int32_t room, made
        while n > 0:
            room = resampler_ready(&self.r)
            memset(self.r.held + self.r.fill, 0, room * sizeof(int16_t))
            self.r.fill += room
            made = resampler_make(&self.r, K, out, <int32_t>min(n, <int64_t>0x7FFFFFFF))
            out += made
            n -= made
        self.begin()


@cython.final
cdef class Resampler(_Stream):
    def __cinit__(self, int source_hz, int target_hz, str quality not None="high", *, bint live=False):
        self.prepare(source_hz, target_hz, quality, live)

    def push(self, bytes pcm not None):
        cdef int64_t size = PyBytes_GET_SIZE(pcm)
        if self.design.identity and self.odd < 0 and not size & 1:
            return pcm
        cdef bytes out = room_for(2 * self.due(size))
        self.feed(<uint8_t *>PyBytes_AS_STRING(pcm), size, samples_of(out))
        return out

    def flush(self):
        cdef int64_t n = self.rest()
        cdef bytes out = room_for(2 * n)
        self.finish(samples_of(out), n)
        return out

    def reset(self):
        self.begin()


# -- framing --------------------------------------------------------------------------------------------------------

@cython.final
cdef class Framer:
    cdef readonly int frame_bytes
    cdef bytes frame
    cdef int fill

    def __cinit__(self, int frame_bytes):
        if not 1 <= frame_bytes <= 1 << 20:
            raise ValueError(f"a frame has from 1 to {1 << 20} bytes, not {frame_bytes}")
        self.frame_bytes = frame_bytes
        self.fill = 0

    @property
    def held_bytes(self):
        return self.fill

    cdef void take(self, const uint8_t *data, int64_t size, list frames):
        cdef int64_t step
        while size > 0:
            if self.frame is None:
                self.frame = room_for(self.frame_bytes)
            step = min(size, <int64_t>(self.frame_bytes - self.fill))
            memcpy(PyBytes_AS_STRING(self.frame) + self.fill, data, step)
            data += step
            size -= step
            self.fill += <int>step
            if self.fill == self.frame_bytes:
                frames.append(self.frame)
                self.frame = None
                self.fill = 0

    def push(self, bytes chunk not None):
        cdef list frames = []
        self.take(<uint8_t *>PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk), frames)
        return frames

    def flush(self):
        cdef bytes rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.frame), self.fill) if self.fill else b""
        self.frame = None
        self.fill = 0
        return rest


# -- the caller's sound in, the agent's sound out -------------------------------------------------------------------

cdef enum Coding:
    PCM16 = 0
    ULAW = 1
    ALAW = 2

cdef dict CODINGS = {"pcm16": PCM16, "ulaw": ULAW, "alaw": ALAW}


cdef int coding_of(str encoding) except -1:
    if encoding not in CODINGS:
        raise ValueError(f"encoding {encoding!r} is not one of {', '.join(CODINGS)}")
    return CODINGS[encoding]


cdef class Inlet(_Stream):
    cdef int coding
    cdef Framer framer
    cdef readonly int64_t rejected

    def __cinit__(self, str encoding not None, int rate_hz, str quality not None="telephone", *, int target_hz=16_000,
                  int frame_bytes=640):
        self.coding = coding_of(encoding)
        self.prepare(rate_hz, target_hz, quality, True)
        self.framer = Framer(frame_bytes)
        self.rejected = 0

    cdef int convert(self, const uint8_t *data, int64_t size, list frames) except -1:
        cdef int16_t linear[512]
        cdef int16_t made[4096]  # 512 samples become 3072 at most, from 8 to 48 kHz
        cdef int64_t step, n
        while size > 0:
            if self.coding == PCM16:
                step = min(size, <int64_t>1024)
                n = self.due(step)
                self.feed(data, step, made)
            else:
                step = min(size, <int64_t>512)
                if self.coding == ULAW:
                    K.ulaw_decode(data, linear, step)
                else:
                    K.alaw_decode(data, linear, step)
                n = self.due(2 * step)
                self.feed(<uint8_t *>linear, 2 * step, made)
            self.framer.take(<uint8_t *>made, 2 * n, frames)
            data += step
            size -= step
        return 0

    def push(self, bytes chunk not None):
        cdef list frames = []
        self.convert(<uint8_t *>PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk), frames)
        return frames

    def push_base64(self, payload):
        cdef list frames = []
        cdef int64_t n, size
        cdef const uint8_t *data = payload_of(payload, &n)
        cdef uint8_t wire[2048]
        cdef bytes large
        size = base64_decoded_bytes(data, n)
        if 0 <= size <= 2048:
            if K.base64_decode(data, wire, n, size) == 0:
                self.convert(wire, size, frames)
                return frames
        elif size > 0:
            large = room_for(size)
            if K.base64_decode(data, <uint8_t *>PyBytes_AS_STRING(large), n, size) == 0:
                self.convert(<uint8_t *>PyBytes_AS_STRING(large), size, frames)
                return frames
        self.rejected += 1
        return frames

    def flush(self):
        cdef list frames = []
        cdef int64_t n = self.rest()
        cdef bytes tail = room_for(2 * n)
        self.finish(samples_of(tail), n)
        self.framer.take(<uint8_t *>PyBytes_AS_STRING(tail), 2 * n, frames)
        if self.framer.fill:
            frames.append(self.framer.flush().ljust(self.framer.frame_bytes, b"\0"))
        return frames


cdef class Outlet(_Stream):
    cdef int coding

    def __cinit__(self, int source_hz, str encoding not None, int rate_hz, str quality not None="high"):
        self.coding = coding_of(encoding)
        self.prepare(source_hz, rate_hz, quality, False)

    cdef void encode(self, const int16_t *pcm, uint8_t *out, int64_t n) noexcept:
        if self.coding == ULAW:
            K.ulaw_encode(pcm, out, n)
        elif self.coding == ALAW:
            K.alaw_encode(pcm, out, n)
        else:
            memcpy(out, pcm, 2 * n)

    cdef int64_t wire_bytes(self, int64_t samples) noexcept:
        return 2 * samples if self.coding == PCM16 else samples

    cdef void convert(self, const uint8_t *data, int64_t size, uint8_t *out) noexcept:
        cdef int16_t made[4096]  # 512 samples become 3072 at most, from 8 to 48 kHz
        cdef int64_t step, n
        while size > 0:
            step = min(size, <int64_t>1024)
            n = self.due(step)
            self.feed(data, step, made)
            self.encode(made, out, n)
            out += self.wire_bytes(n)
            data += step
            size -= step

    def push(self, bytes pcm not None):
        cdef int64_t size = PyBytes_GET_SIZE(pcm)
        cdef bytes out = room_for(self.wire_bytes(self.due(size)))
        self.convert(<uint8_t *>PyBytes_AS_STRING(pcm), size, <uint8_t *>PyBytes_AS_STRING(out))
        return out

    def push_base64(self, bytes pcm not None):
        cdef uint8_t wire[2048]
        cdef int64_t size = PyBytes_GET_SIZE(pcm), n = self.wire_bytes(self.due(size))
        if n > 2048:
            return to_base64(self.push(pcm))
        self.convert(<uint8_t *>PyBytes_AS_STRING(pcm), size, wire)
        return text_of(wire, n)

    def flush(self):
        cdef int64_t n = self.rest()
        cdef bytes tail = room_for(2 * n), out = room_for(self.wire_bytes(n))
        self.finish(samples_of(tail), n)
        self.encode(samples_of(tail), <uint8_t *>PyBytes_AS_STRING(out), n)
        return out

    def flush_base64(self):
        return to_base64(self.flush())

    def reset(self):
        self.begin()


# -- sound waiting to be heard --------------------------------------------------------------------------------------

@cython.final
cdef class Playout:
    # The pool grows to what was ever retained: a minute of room for each call, nearly all of it never used, would lie in a new
    # place of the heap with each call, until every page of a far bigger heap had been touched once.
    cdef playout p
    cdef int32_t blocks_max
    cdef readonly int rate_hz

    def __cinit__(self, int rate_hz, int64_t capacity):
        if rate_hz not in RATES_HZ:
            raise ValueError(f"{rate_hz} Hz is not one of {', '.join(map(str, RATES_HZ))}")
        if not 1 <= capacity <= 1 << 30:
            raise ValueError(f"a playout holds from 1 to {1 << 30} samples, not {capacity}")
        self.rate_hz = rate_hz
        self.p.capacity = capacity
        self.p.fade = rate_hz // 200
        self.p.freed = -1
        self.blocks_max = playout_blocks(capacity)

    cdef bint grow(self) except -1:
        cdef int32_t blocks = min(self.blocks_max, max(PLAYOUT_BLOCKS_FIRST, 2 * self.p.blocks))
        if blocks == self.p.blocks:
            return False
        cdef void *chain = PyMem_Realloc(self.p.next, blocks * sizeof(int32_t))
        if not chain:
            raise MemoryError
        self.p.next = <int32_t *>chain
        cdef void *sound = PyMem_Realloc(self.p.sound, <size_t>blocks * PLAYOUT_BLOCK * sizeof(int16_t))
        if not sound:
            raise MemoryError
        self.p.sound = <int16_t *>sound
        self.p.blocks = blocks
        return True

    def __dealloc__(self):
        PyMem_Free(self.p.next)
        PyMem_Free(self.p.sound)

    @property
    def capacity(self):
        return self.p.capacity

    @property
    def free(self):
        return self.p.capacity - self.p.retained

    @property
    def runs(self):
        return tuple([self.p.tracks[i].run for i in range(PLAYOUT_RUNS) if self.p.tracks[i].open])

    def open(self, int64_t run):
        return bool(playout_open(&self.p, run))

    def write(self, int64_t run, bytes pcm not None):
        cdef track *t = playout_track(&self.p, run)
        cdef int64_t n = min(whole_samples(pcm), self.p.capacity - self.p.retained), done = 0
        if not t:
            return 0
        while True:
            done += playout_write(&self.p, t, samples_of(pcm) + done, n - done)
            if done == n or not self.grow():
                return done

    def read(self, int64_t run, int64_t samples):
        cdef track *t = playout_track(&self.p, run)
        if not t:
            return b""
        cdef int64_t n = max(<int64_t>0, min(samples, t.written - t.sent))
        cdef bytes out = room_for(2 * n)
        playout_read(&self.p, t, samples_of(out), n)
        return out

    def cut(self, int64_t run):
        cdef bytes tail = self.read(run, self.p.fade)
        cdef int64_t n = PyBytes_GET_SIZE(tail) >> 1
        pcm_fade(samples_of(tail), n, 0, n, 0)
        return tail

    def rewind(self, int64_t run, int64_t sample):
        cdef track *t = playout_track(&self.p, run)
        return playout_rewind(&self.p, t, sample) if t else 0

    def keep_from(self, int64_t run, int64_t sample):
        cdef track *t = playout_track(&self.p, run)
        if t:
            playout_keep_from(&self.p, t, sample)

    def drop(self, int64_t run):
        cdef track *t = playout_track(&self.p, run)
        if t:
            playout_drop(&self.p, t)

    def first(self, int64_t run):
        cdef track *t = playout_track(&self.p, run)
        return t.first if t else 0

    def sent(self, int64_t run):
        cdef track *t = playout_track(&self.p, run)
        return t.sent if t else 0

    def written(self, int64_t run):
        cdef track *t = playout_track(&self.p, run)
        return t.written if t else 0

    def queued(self, int64_t run):
        cdef track *t = playout_track(&self.p, run)
        return t.written - t.sent if t else 0


# -- gaps and quiet -------------------------------------------------------------------------------------------------

@cython.final
cdef class Concealer:
    cdef concealer c

    def __cinit__(self, int rate_hz):
        if not 8_000 <= rate_hz <= CONCEAL_HZ_MAX:
            raise ValueError(f"the rate must be from 8000 to {CONCEAL_HZ_MAX} Hz, not {rate_hz}")
        self.c.rate_hz = rate_hz

    def heard(self, bytes pcm not None):
        cdef int64_t n = whole_samples(pcm)
        cdef bytes out = PyBytes_FromStringAndSize(PyBytes_AS_STRING(pcm), 2 * n)
        conceal_heard(&self.c, samples_of(out), n)
        return out

    def lost(self, int64_t samples):
        if not 0 <= samples <= 1 << 20:
            raise ValueError(f"a gap has from 0 to {1 << 20} samples, not {samples}")
        cdef bytes out = room_for(2 * samples)
        conceal_lost(&self.c, samples_of(out), samples)
        return out


@cython.final
cdef class Noise:
    cdef uint32_t seed
    cdef int rms

    def __cinit__(self, int rms, uint32_t seed=1):
        if not 0 <= rms <= 8_000:
            raise ValueError(f"the rms of a comfort noise is from 0 to 8000, not {rms}")
        self.rms = rms
        self.seed = seed or 1

    def read(self, int64_t samples):
        if not 0 <= samples <= 1 << 20:
            raise ValueError(f"a noise of 0 to {1 << 20} samples, not {samples}")
        cdef bytes out = room_for(2 * samples)
        self.seed = noise_fill(self.seed, samples_of(out), samples, self.rms)
        return out

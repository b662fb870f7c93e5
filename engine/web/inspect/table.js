// The call as columns. Pieces come off the wire as they lie in memory: nothing is parsed but a small head and, when a row is shown, its text.

const COLUMNS = [
  ["at", Float64Array], ["value", Float64Array], ["offset", Float64Array], ["seq", Uint32Array], ["textEnd", Uint32Array],
  ["run", Uint16Array], ["number", Uint16Array], ["type", Uint8Array], ["phase", Uint8Array],
];

export const PHASES = ["Idle", "Listening", "Transcribing", "Generating", "Speaking", "Interrupted", "Cancelled"];

const utf8 = new TextDecoder();

export class Table {
  constructor() {
    this.rows = 0;
    this.types = [];
    this.texts = []; // {first, last, bytes, ends}
    this.room = 0;
    for (const [name, Kind] of COLUMNS) this[name] = new Kind(0);
  }

  // Take one piece (without its length). Returns its head.
  add(buffer) {
    const size = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(utf8.decode(new Uint8Array(buffer, 4, size)));
    head.types.forEach((name, index) => { this.types[head.first_type + index] = name; });
    this.grow(head.rows);
    let at = 4 + size;
    let ends = null;
    for (const [name, Kind] of COLUMNS) {
      const bytes = head.rows * Kind.BYTES_PER_ELEMENT;
      const column = new Kind(buffer.slice(at, at + bytes));
      this[name].set(column, this.rows);
      if (name === "textEnd") ends = column;
      at += bytes + ((8 - (bytes % 8)) % 8);
    }
    if (head.rows) this.texts.push({ first: this.rows, last: this.rows + head.rows, bytes: new Uint8Array(buffer, at), ends });
    this.rows += head.rows;
    return head;
  }

  grow(more) {
    const needed = this.rows + more;
    if (needed <= this.room) return;
    this.room = Math.max(needed, this.room * 2, 4096);
    for (const [name, Kind] of COLUMNS) {
      const wider = new Kind(this.room);
      wider.set(this[name].subarray(0, this.rows));
      this[name] = wider;
    }
  }

  name(row) { return this.types[this.type[row]] ?? "?"; }

  isOrder(row) { return this.name(row)[0] === ">"; }

  text(row) {
    let low = 0;
    let high = this.texts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.texts[middle].first <= row) low = middle; else high = middle - 1;
    }
    const piece = this.texts[low];
    if (!piece) return "";
    const index = row - piece.first;
    return utf8.decode(piece.bytes.subarray(index ? piece.ends[index - 1] : 0, piece.ends[index]));
  }

  // First row at or after this time.
  rowAt(ms) {
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] < ms) low = middle + 1; else high = middle;
    }
    return low;
  }

  get end() { return this.rows ? this.at[this.rows - 1] : 0; }
}

// Read pieces of a stream until it ends. `take(buffer)` is told each.
export async function read(response, take) {
  const reader = response.body.getReader();
  let held = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held.push(value);
    length += value.length;
    while (length >= 4) {
      const size = peekSize(held);
      if (length < size + 4) break;
      const whole = join(held, length);
      take(whole.buffer.slice(4, 4 + size));
      const rest = whole.subarray(4 + size);
      held = rest.length ? [rest] : [];
      length = rest.length;
    }
  }
}

function peekSize(held) {
  let size = 0;
  let shift = 0;
  for (const part of held) {
    for (let i = 0; i < part.length && shift < 32; i += 1, shift += 8) size += part[i] * 2 ** shift;
    if (shift === 32) break;
  }
  return size;
}

function join(held, length) {
  if (held.length === 1 && held[0].byteOffset === 0 && held[0].buffer.byteLength === length) return held[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of held) { whole.set(part, at); at += part.length; }
  return whole;
}

// Arrays in safetensors files, read and written; https://github.com/huggingface/safetensors has the format.

const KINDS = { F64: Float64Array, F32: Float32Array, F16: Uint16Array };

/**
 * Arrays by name, each a copy of its part of the file: `{dtype, shape, data}`, 16-bit floats as their bits. And `text`.
 * @param {Uint8Array} file
 */
export function readTensors(file) {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const { __metadata__: text = {}, ...entries } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(entries)) {
    if (!KINDS[dtype]) throw new Error(`${name} is of the type ${dtype}, which browsers do not compute with.`);
    arrays[name] = { dtype, shape, data: new KINDS[dtype](file.slice(8 + length + start, 8 + length + end).buffer) };
  }
  return { arrays, text };
}

/**
 * A file of arrays, laid out as the package's own writer does: wide types first, then by name; texts by their keys.
 * @param arrays by name: `{dtype, shape, data}`.
 * @param {Object<string, string>} text
 * @returns {Uint8Array}
 */
export function writeTensors(arrays, text) {
  const width = ({ dtype }) => KINDS[dtype].BYTES_PER_ELEMENT;
  const ordered = Object.entries(arrays).sort(([a, x], [b, y]) => width(y) - width(x) || (a < b ? -1 : 1));
  const header = { __metadata__: Object.fromEntries(Object.entries(text).sort(([a], [b]) => (a < b ? -1 : 1))) };
  let end = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    header[name] = { dtype, shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(encoded.length / 8) * 8;
  const file = new Uint8Array(8 + length + end).fill(0x20, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(encoded, 8);
  for (const [name, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 8 + length + header[name].data_offsets[0]);
  }
  return file;
}

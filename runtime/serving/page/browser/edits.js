// Directions and mixes: what an edit adds to a person's own codes, as runtime/editing/ has it.

const { fround } = Math;
const MAX_STRENGTH = 100;

/** A direction of a bundle, out of its file. */
export class Direction {
  constructor({ arrays: { vector, mean, deviation }, text }) {
    [this.name, this.first, this.end] = [text.name, Number(text.first_row), Number(text.end_row)];
    [this.vector, this.mean, this.deviation] = [vector, mean, deviation];
  }

  /** Add what it does to codes [styles, width] at a strength to `sum`, of the same shape. */
  addTo(sum, codes, strength) {
    const [rows, width] = this.vector.shape;
    const factor = fround(this.mean ? strength * this.deviation.data[0] - this.#along(codes) : strength);
    for (let row = this.first; row < this.end; row++) {
      const from = rows === 1 ? 0 : (row - this.first) * width;
      for (let at = 0; at < width; at++) sum[row * width + at] += fround(factor * this.vector.data[from + at]);
    }
  }

  /** A component's coordinate, of the first row whichever rows are moved. */
  #along(codes) {
    return this.vector.data.reduce((sum, value, at) => sum + fround(codes[at] - this.mean.data[at]) * value, 0);
  }
}

/** Another person's codes, all of them at 1. */
export class Mix {
  constructor(codes) {
    this.codes = codes;
  }

  addTo(sum, codes, strength) {
    const share = fround(strength);
    for (let at = 0; at < sum.length; at++) sum[at] += fround(share * fround(this.codes[at] - codes[at]));
  }
}

/**
 * A person's codes after an edit.
 * @param {Float32Array} codes [styles, width].
 * @param {Object<string, number>} edit strengths by name.
 * @param changes directions and mixes by name.
 */
export function editedCodes(codes, edit, changes) {
  const sum = codes.slice();
  for (const [name, strength] of Object.entries(edit)) {
    if (!changes[name]) throw new Error(`The model has no direction ${name}.`);
    if (!(Math.abs(strength) <= MAX_STRENGTH)) throw new Error(`The strength of ${name} is out of range.`);
    changes[name].addTo(sum, codes, strength);
  }
  return sum;
}

// What an inversion keeps of a photo, and its file, which `edit`, `animate` and `personalize` read.

import { writeTensors } from "./safetensors.js";

const FORMAT = { format: "hyperstyle-deploy inversion", version: "2" };

/** A state as an inversion keeps it: arrays shaped as `Manifest.state` says; what no step has set is zeros. */
export function kept(manifest, state, steps) {
  const arrays = {};
  for (const { name, shape } of manifest.state) {
    const sized = shape.map((side) => (side === "steps" ? steps : side));
    const size = sized.reduce((left, right) => left * right, 1);
    arrays[name] = { dtype: "F32", shape: sized, data: state[name]?.data ?? new Float32Array(size) };
  }
  return arrays;
}

/** The file: what runtime/bundle/inversion.py writes, byte for byte. */
export function inversionFile(manifest, arrays, steps, l2) {
  const errors = { dtype: "F64", shape: [l2.length], data: Float64Array.from(l2) };
  const text = { ...FORMAT, steps: String(steps), method: manifest.method.name, model: manifest.model };
  return new Blob([writeTensors({ ...arrays, l2: errors }, text)], { type: "application/octet-stream" });
}

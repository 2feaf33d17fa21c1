// The refinement loop of every method, as runtime/refinement/loop.py has it, for one photo.

/**
 * Invert a photo: the start, then step by step.
 * @param backend runs graphs.
 * @param method
 * @param photo [1, C, H, W], as the networks see it.
 * @param {number} steps
 * Yields `steps + 1` of `{index, state, image, reconstruction, l2}`; `l2` is null where the input is no photo.
 */
export async function* refine(backend, method, photo, steps) {
  let state = await method.start(backend, photo);
  for (let index = 0; ; index++) {
    const drawn = await method.draw(backend, photo, state, index);
    const { image, reconstruction } = drawn;
    const comparable = method.manifest.image.kind === "photo";
    yield { index, state, image, reconstruction, l2: comparable ? squaredError(photo.data, reconstruction.data) : null };
    if (index === steps) return;
    state = await method.advance(backend, photo, drawn, state, index + 1);
  }
}

/** The loop's L2: the mean of `(left - right)^2`, in double precision. */
function squaredError(left, right) {
  let sum = 0;
  for (let at = 0; at < left.length; at++) sum += Math.fround(left[at] - right[at]) ** 2;
  return sum / left.length;
}

// The methods, as runtime/methods/ has them: how a photo starts, how a step advances it, whose weights draw it.
// A state is arrays by name; an array is a tensor of the backend's.

class Method {
  constructor(manifest) {
    this.manifest = manifest;
  }

  /** What a photo's generator has of its own after so many steps: nothing where the bundle's serves. */
  async weights(backend, state, steps) {
    return {};
  }

  /** The drawing of a state: `image` and `reconstruction`. */
  async draw(backend, state, steps) {
    return backend.run("synthesis_one", { codes: state.codes, ...(await this.weights(backend, state, steps)) });
  }
}

/** pSp and e4e: `codes = encoder(x)`. */
class OnePass extends Method {
  async start(backend, photo) {
    return { codes: (await backend.run("encoder", { image: photo })).codes };
  }
}

/** ReStyle: `codes = average`, then `codes += encoder(x, y)` with `y = G(codes)`. */
class ReStyle extends Method {
  async start(backend) {
    return { codes: backend.constants.latent_avg };
  }

  async advance(backend, photo, reconstruction, { codes }) {
    return { codes: await lookBack(backend, photo, reconstruction, codes) };
  }
}

/** HyperStyle: `codes = encoder(x)`, then `z += hypernet(x, y)` with `y = G(codes, W(z))`. */
class HyperStyle extends Method {
  /** Whether the offset codes of every step are kept. */
  get #separable() {
    return this.manifest.state.at(-1).shape[0] === "steps";
  }

  async start(backend, photo) {
    const { encoder_steps: steps } = this.manifest.method;
    if (!steps) return { codes: (await backend.run("encoder", { image: photo })).codes };
    let codes = backend.constants.encoder_latent_avg;
    for (let step = 0; step < steps; step++) {
      const { reconstruction } = await backend.run("encoder_synthesis", { codes });
      codes = await lookBack(backend, photo, reconstruction, codes);
    }
    return { codes };
  }

  async advance(backend, photo, reconstruction, { codes, offset_codes: old }) {
    const { offset_codes: found } = await backend.run("hypernet", { image: photo, reconstruction });
    const join = this.#separable ? backend.concatenate : backend.add;
    return { codes, offset_codes: old ? join(old, found) : found };
  }

  async weights(backend, { offset_codes }, steps) {
    return steps ? backend.run("weights", { offset_codes, steps: backend.scalar(steps) }) : {};
  }
}

/** One step of a ReStyle encoder: a photo's codes [1, styles, width] after it. */
async function lookBack(backend, photo, reconstruction, codes) {
  const { codes: found } = await backend.run("encoder", { image: photo, reconstruction });
  return backend.add(codes, found);
}

/** By the names that bundles give them. */
export const METHODS = {
  psp: OnePass,
  e4e: OnePass,
  "restyle-psp": ReStyle,
  "restyle-e4e": ReStyle,
  hyperstyle: HyperStyle,
};

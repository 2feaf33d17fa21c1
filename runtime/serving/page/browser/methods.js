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

  /** The drawing of a photo's state: `image` and `reconstruction`. */
  async draw(backend, photo, state, steps) {
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

  async advance(backend, photo, { reconstruction }, { codes }) {
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

  async advance(backend, photo, { reconstruction }, { codes, offset_codes: old }) {
    const { offset_codes: found } = await backend.run("hypernet", { image: photo, reconstruction });
    const join = this.#separable ? backend.concatenate : backend.add;
    return { codes, offset_codes: old ? join(old, found) : found };
  }

  async weights(backend, { offset_codes }, steps) {
    return steps ? backend.run("weights", { offset_codes, steps: backend.scalar(steps) }) : {};
  }
}

/** IDInvert: `codes = encoder(x)`, then Adam's steps by the gradient of the bundle's loss. The update is a graph, too. */
class IDInvert extends Method {
  async start(backend, photo) {
    const { codes } = await backend.run("encoder", { image: photo });
    const seen = "features" in this.manifest.graphs ? await backend.run("features", { target: photo }) : {};
    const zeros = backend.array(new Float32Array(codes.data.length), codes.dims);
    return { codes, "first.codes": zeros, "second.codes": zeros, ...seen };
  }

  /** With the gradient at the state; its reconstruction is the one that the loss is of. */
  async draw(backend, photo, state, steps) {
    const { image } = await super.draw(backend, photo, state, steps);
    return { ...(await backend.run("idinvert_gradient", { target: photo, ...state })), image };
  }

  async advance(backend, photo, { "gradient.codes": gradient }, state, update) {
    const { codes: value, "first.codes": first, "second.codes": second } = state;
    const rates = backend.array(adamRates(RATE, update), [2]);
    const after = await backend.run("adam_codes", { value, gradient, first, second, rates });
    const { value_after: codes, first_after, second_after } = after;
    return { ...state, codes, "first.codes": first_after, "second.codes": second_after };
  }
}

/** The authors' learning rate. */
const RATE = 0.01;

/** A step's size and epsilon with the corrections of Adam's moments in them, for update 1, 2, ... */
function adamRates(rate, update) {
  const grown = Math.sqrt(1 - 0.999 ** update);
  return Float32Array.of((rate * grown) / (1 - 0.9 ** update), 1e-8 * grown);
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
  idinvert: IDInvert,
};

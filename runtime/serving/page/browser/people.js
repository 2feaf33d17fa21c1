// What the page asks for, done here: photos inverted, people edited. People are known by numbers.

import { Backend } from "./backend.js";
import { Mix, editedCodes } from "./edits.js";
import { webpFilm } from "./film.js";
import { encoded, encoderInput, readPhoto, toPixels } from "./images.js";
import { inversionFile, kept } from "./inversion.js";
import { refine } from "./loop.js";

const MILLISECONDS = 42;
/** Pixels of a width up to which pictures are kept whole; larger ones would take long to write. */
const SMALL = 256;

export class People {
  #entry;
  #device;
  #loading = null;
  /** Every person who was inverted: some ten thousand numbers each. */
  #people = [];
  /** The weights of the one who was drawn last; they can be as large as a generator. */
  #drawn = { person: -1, weights: null };

  /** @param entry a bundle, as site.json has it. */
  constructor(entry, device) {
    [this.#entry, this.#device] = [entry, device];
  }

  /**
   * Invert a photo. The first one loads the model.
   * @param {Blob} photo
   * @param {AbortSignal} signal
   * Yields ["loading", {loaded}], then ["step", ...] after every step, then ["done", ...].
   */
  async *invert({ photo }, signal) {
    for await (const loaded of this.#load(signal)) yield ["loading", { loaded }];
    const backend = await this.#loading;
    const { manifest, method } = backend;
    const { channels, input_height: height, input_width: width } = manifest.image;
    const input = backend.array(encoderInput(await readPhoto(photo), manifest.image), [1, channels, height, width]);
    const steps = manifest.method.default_steps;
    const l2 = [];
    for await (const step of refine(backend, method, input, steps)) {
      signal.throwIfAborted();
      if (step.l2 !== null) l2.push(step.l2);
      const pixels = toPixels(step.image);
      const image = await encoded(pixels, pixels.width <= SMALL ? "image/png" : "image/jpeg");
      yield ["step", { step: step.index, steps, l2: step.l2, image }];
      if (step.index === steps) yield ["done", await this.#result(manifest, step, l2, pixels)];
    }
  }

  async #result(manifest, { state, index: steps }, l2, pixels) {
    const own = Object.fromEntries(manifest.state.map(({ name }) => [name, state[name]]));
    const inversion = this.#people.push({ state: own, steps }) - 1;
    const file = inversionFile(manifest, kept(manifest, state, steps), steps, l2);
    return { bundle: this.#entry.name, steps, l2, inversion, file, image: await encoded(pixels, "image/png") };
  }

  /**
   * Draw edits of a person.
   * @param asked `inversion`; `edits`, strengths by name; `mixes`, other people by name; `format` of the pictures; or
   *   `film`, for one of them all, there and back.
   */
  async *edit({ inversion, edits, mixes = {}, format = "png", film }, signal) {
    const backend = await this.#loading;
    const { state, steps } = this.#people[inversion];
    const changes = { ...backend.directions };
    for (const [name, other] of Object.entries(mixes)) {
      changes[name] = new Mix(this.#people[other.inversion].state.codes.data);
    }
    const weights = await this.#weights(backend, inversion, state, steps);
    const images = [];
    for (const edit of edits) {
      signal.throwIfAborted();
      const codes = backend.array(editedCodes(state.codes.data, edit, changes), state.codes.dims);
      const { image } = await backend.run("synthesis_one", { codes, ...weights });
      images.push(await encoded(toPixels(image), film ? "image/webp" : `image/${format}`));
    }
    if (!film) return yield ["done", { images }];
    const { width, height } = this.#entry.image;
    yield ["done", { film: await webpFilm([...images, ...images.slice(1, -1).reverse()], width, height, MILLISECONDS) }];
  }

  async #weights(backend, person, state, steps) {
    if (this.#drawn.person !== person) {
      this.#drawn = { person, weights: await backend.method.weights(backend, state, steps) };
    }
    return this.#drawn.weights;
  }

  /** Load the model unless it is there; yields how many bytes have come. One that was broken off begins anew. */
  async *#load(signal) {
    while (this.#loading) {
      try {
        return await this.#loading;
      } catch {} // whoever began it was told
    }
    let [loaded, tell, over] = [0, () => {}, false];
    const told = (bytes) => {
      loaded += bytes;
      tell();
    };
    this.#loading = Backend.load(this.#entry, this.#device, told, signal).catch((error) => {
      this.#loading = null;
      throw error;
    });
    const end = this.#loading.finally(() => (over = true));
    while (!over) {
      await Promise.race([end, new Promise((resolve) => (tell = resolve))]);
      yield loaded;
    }
  }
}

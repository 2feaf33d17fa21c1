// What the page asks of a service, answered on this machine: the same functions as those of the server's module. There is
// no `align`: `bundles` says that no faces are found here.

import { called, chosenDevice } from "./device.js";
import { addressOf } from "./files.js";

export class Service {
  #worker = null;
  /** What the worker works with. */
  #opened = null;
  #calls = new Map();
  #count = 0;

  /** What the site has, and what it takes to load it: nothing is loaded yet. */
  async bundles() {
    const site = await (await this.#fetch("site.json")).json();
    const [entry] = site.bundles;
    const device = await chosenDevice(entry.precision);
    this.#opened = { entry, device };
    this.#start();
    const size = (files) => files.reduce((sum, { bytes }) => sum + bytes, 0);
    const loads = { model: size(entry.files), runtime: size(Object.values(entry.runtime[device])) };
    const bundles = [{ ...entry, backend: called(device), loads }];
    return { bundles, finds_faces: false, example: site.example, films: await films() };
  }

  /** @param asked what /v1/edit takes; `inversion` is what `invert` gave. */
  async edit(asked) {
    for await (const [, result] of this.#events("edit", asked)) return result;
  }

  async file(path) {
    return (await this.#fetch(path)).blob();
  }

  /** An inversion's events: "loading" while the model comes, "step" and "done"; an error is thrown. */
  invert(bundle, photo, signal) {
    return this.#events("invert", { photo }, signal);
  }

  #start() {
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#calls.get(data.call)?.(data);
    this.#worker.onerror = ({ message }) => {
      if (message) return this.#fail(message);
      // Without a message, one of its scripts did not come: it knows nobody, and the next call starts another one.
      this.#worker = null;
      this.#fail("What runs the model cannot be loaded. Is there a network, and is the site complete?");
    };
    this.#worker.postMessage({ name: "open", argument: this.#opened });
  }

  async *#events(name, argument, signal) {
    if (!this.#worker) this.#start();
    const call = this.#count++;
    const came = [];
    let wake = () => {};
    this.#calls.set(call, (message) => {
      came.push(message);
      wake();
    });
    const cancel = () => this.#worker?.postMessage({ call, name: "cancel" });
    signal?.addEventListener("abort", cancel);
    try {
      this.#worker.postMessage({ call, name, argument });
      for (;;) {
        if (!came.length) await new Promise((resolve) => (wake = resolve));
        signal?.throwIfAborted();
        const { event, error, end } = came.shift();
        if (error) throw Object.assign(new Error(error.message), { name: error.name });
        if (end) return;
        yield event;
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#calls.delete(call);
    }
  }

  #fail(message) {
    for (const [call, tell] of this.#calls) tell({ call, error: { name: "Error", message } });
  }

  async #fetch(path) {
    const answer = await fetch(addressOf(path), { cache: "no-cache" }).catch(() => {
      throw new Error("The site does not answer. Is there a network?");
    });
    if (!answer.ok) throw new Error(`The site has no ${path}: it answered ${answer.status}.`);
    return answer;
  }
}

/** Films that this browser can write. */
async function films() {
  const canvas = new OffscreenCanvas(1, 1);
  canvas.getContext("2d");
  return (await canvas.convertToBlob({ type: "image/webp" })).type === "image/webp" ? ["webp"] : [];
}

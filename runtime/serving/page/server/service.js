// What the page asks of a service, answered by a server: its endpoints, as functions. Files are blobs.

const PNG = "image/png";
const FILE = "application/octet-stream";

/** Keeps the token, if there is one, for as long as the tab is open. */
export class Service {
  #token = sessionStorage.getItem("token");
  #ask;

  /** @param ask gives a promise of the token, when the service wants one, or another one than it was given. */
  constructor(ask) {
    this.#ask = ask;
  }

  bundles() {
    return this.#json("v1/bundles");
  }

  /**
   * The face in a photo, as the model wants to see it, and its corners there.
   * @param where option of /v1/align that says which.
   */
  async align(bundle, photo, where) {
    const address = `v1/align?${where}&bundle=${encodeURIComponent(bundle)}`;
    const { image, alignment } = await this.#json(address, { method: "POST", body: photo });
    return { image: blobOf(image, PNG), quad: alignment.quad };
  }

  /**
   * Pictures of edits, or a film of them.
   * @param asked what /v1/edit takes; an `inversion` is what `invert` gave.
   */
  async edit(asked) {
    const { images, format, film } = await this.#json("v1/edit", { method: "POST", body: JSON.stringify(asked) });
    return film ? { film: blobOf(film, FILE) } : { images: images.map((image) => blobOf(image, `image/${format}`)) };
  }

  async file(path) {
    return (await this.#fetch(path)).blob();
  }

  /**
   * An inversion's events, ["step" or "done", what it says]; an error is thrown. At the end `inversion` is what `edit`
   * takes, and `file` the same to be saved. `generator` is a further one of the bundle's, or null.
   */
  async *invert(bundle, photo, signal, generator) {
    const options = { method: "POST", body: photo, signal, headers: { Accept: "text/event-stream" } };
    const address = `v1/invert?bundle=${encodeURIComponent(bundle)}`;
    const answer = await this.#fetch(generator ? `${address}&generator=${encodeURIComponent(generator)}` : address, options);
    let done = false;
    for await (const [kind, event] of events(answer.body)) {
      if (kind === "error") throw new Error(event.error);
      done ||= kind === "done";
      const { type = PNG, inversion } = event;
      const file = inversion && { file: blobOf(inversion, FILE) };
      yield [kind, { ...event, ...file, image: blobOf(event.image, type) }];
    }
    if (!done) throw new Error("The service ended in the middle of its answer.");
  }

  async #json(path, options) {
    return (await this.#fetch(path, options)).json();
  }

  async #fetch(path, options = {}) {
    const headers = { ...options.headers, ...(this.#token && { Authorization: `Bearer ${this.#token}` }) };
    const answer = await fetch(path, { ...options, headers }).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error("The service does not answer. Does it still run?");
    });
    if (answer.ok) return answer;
    if (answer.status === 401) {
      this.#token = await this.#ask(Boolean(this.#token));
      sessionStorage.setItem("token", this.#token);
      return this.#fetch(path, options);
    }
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.error ?? `The service answered ${answer.status}.`);
  }
}

function blobOf(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type });
}

/** Server-sent events of a stream. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const [, kind] = /^event: (.*)$/m.exec(block) ?? [];
      const [, data] = /^data: (.*)$/m.exec(block) ?? [];
      if (kind) yield [kind, JSON.parse(data)];
    }
  }
}

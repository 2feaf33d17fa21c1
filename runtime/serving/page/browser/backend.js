// A bundle in ONNX Runtime Web: graphs by name on arrays by theirs, and the little arithmetic between them.

import { threads } from "./device.js";
import { Direction } from "./edits.js";
import { addressOf, fetchFiles } from "./files.js";
import { METHODS } from "./methods.js";
import { readTensors } from "./safetensors.js";

const TYPES = { F32: "float32", F16: "float16" };
/**
 * How graphs are run on a device. With channels last, which is WebGPU's default, ONNX Runtime 1.30 gets convolutions of six
 * channels wrong: those that look at a photo and its reconstruction (onnxruntime's issue 29651).
 */
const PROVIDERS = { wasm: { name: "wasm" }, webgpu: { name: "webgpu", preferredLayout: "NCHW" } };

export class Backend {
  #ort;
  #sessions = {};
  /** Graphs run one after another: the runtime takes one at a time. */
  #last = Promise.resolve();

  /**
   * @param entry a bundle, as site.json has it.
   * @param device "wasm" or "webgpu".
   * @param {(loaded: number) => void} told of every byte that is loaded.
   */
  static async load(entry, device, told, signal) {
    const { files, manifest, runtime } = entry;
    const { script, wasm } = runtime[device];
    const backend = new Backend();
    const found = await fetchFiles([wasm, ...files], told, signal);
    const ort = (backend.#ort = await import(addressOf(script.path)));
    ort.env.wasm.wasmBinary = found.get(wasm.path).buffer;
    ort.env.wasm.numThreads = threads();
    ort.env.logLevel = "error";
    const within = (name) => found.get(`${entry.folder}/${name}`);
    backend.manifest = manifest;
    backend.method = new METHODS[manifest.method.name](manifest);
    backend.constants = {};
    for (const name of manifest.constants) {
      for (const [key, { dtype, shape, data }] of Object.entries(readTensors(within(name)).arrays)) {
        backend.constants[key] = new ort.Tensor(TYPES[dtype], data, shape);
      }
    }
    backend.directions = {};
    for (const { name } of entry.directions) {
      backend.directions[name] = new Direction(readTensors(within(`directions/${name}.safetensors`)));
    }
    const graphs = Object.entries(manifest.graphs);
    for (const [place, [name, { file, outside }]] of graphs.entries()) {
      const externalData = outside.map((path) => ({ path, data: within(path) }));
      const options = { executionProviders: [PROVIDERS[device]], externalData, enableMemPattern: false };
      backend.#sessions[name] = await ort.InferenceSession.create(within(file), options);
      // The session has a copy of its constants; both together would be twice a bundle.
      const later = new Set(graphs.slice(place + 1).flatMap(([, graph]) => graph.outside));
      for (const path of outside) if (!later.has(path)) found.delete(`${entry.folder}/${path}`);
    }
    return backend;
  }

  /** Run a graph; inputs that are not given are the bundle's constants of that name. */
  async run(graph, inputs) {
    const { inputs: names } = this.manifest.graphs[graph];
    const feeds = Object.fromEntries(names.map((name) => [name, inputs[name] ?? this.constants[name]]));
    const turn = this.#last.then(() => this.#sessions[graph].run(feeds));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** An array of 32-bit floats. */
  array = (data, shape) => new this.#ort.Tensor("float32", data, shape);

  scalar = (value) => this.array(Float32Array.of(value), []);

  add = (left, right) => this.array(left.data.map((value, at) => value + right.data[at]), left.dims);

  /** Batches joined along the first axis. */
  concatenate = (left, right) => {
    const joined = new Float32Array(left.data.length + right.data.length);
    joined.set(left.data);
    joined.set(right.data, left.data.length);
    return this.array(joined, [left.dims[0] + right.dims[0], ...left.dims.slice(1)]);
  };

  /** Give the memory back. */
  async close() {
    await this.#last;
    await Promise.all(Object.values(this.#sessions).map((session) => session.release()));
  }
}

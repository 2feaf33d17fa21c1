// What this browser can compute on.

/** More threads gain nothing: a step's operators are too small. */
const MOST_THREADS = 8;

/**
 * "webgpu" where there is a real GPU that computes in the model's precision, else "wasm"; unless the address says which:
 * `?on=wasm`.
 */
export async function chosenDevice(precision) {
  const asked = new URLSearchParams(location.search).get("on");
  if (asked === "webgpu" || asked === "wasm") return asked;
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter || adapter.info?.isFallbackAdapter) return "wasm";
  return precision === "float32" || adapter.features.has("shader-f16") ? "webgpu" : "wasm";
}

/** Threads of WebAssembly: several where the site is isolated from others, which its headers have to say. */
export function threads() {
  return crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
}

/** What it is called on the page. */
export function called(device) {
  const count = threads();
  return device === "webgpu" ? "WebGPU" : `WebAssembly, ${count} thread${count === 1 ? "" : "s"}`;
}

// Files of the site: fetched with their progress told, and held against the sizes and checksums that were exported.

/** The address of a file of the site. */
export function addressOf(path) {
  return new URL(`../${path}`, import.meta.url);
}

/**
 * Fetch files of the site.
 * @param {Array<{path: string, bytes: number, sha256: string}>} files
 * @param {(loaded: number) => void} told of every byte that comes.
 * @param {AbortSignal} signal
 * @returns {Promise<Map<string, Uint8Array>>} by path.
 */
export async function fetchFiles(files, told, signal) {
  const found = new Map();
  for (const file of files) found.set(file.path, await fetchFile(file, told, signal));
  return found;
}

async function fetchFile({ path, bytes, sha256 }, told, signal) {
  // A cached file is asked after: one of another export would not fit the others.
  const answer = await fetch(addressOf(path), { cache: "no-cache", signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error(`${path} cannot be loaded. Is there a network?`);
  });
  if (!answer.ok) throw new Error(`${path} cannot be loaded: the site answered ${answer.status}.`);
  const content = new Uint8Array(bytes);
  let at = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) break;
    if (at + value.length > bytes) throw changed(path);
    content.set(value, at);
    at += value.length;
    told(value.length);
  }
  // Browsers compute checksums on https and the loopback alone.
  if (at < bytes || (globalThis.crypto.subtle && (await digest(content)) !== sha256)) throw changed(path);
  return content;
}

async function digest(content) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function changed(path) {
  return new Error(`${path} is not the file that was exported. Load the page again; if that does not help, export it again.`);
}

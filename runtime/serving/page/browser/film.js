// Films as animated WebP: the frames are WebP files that the browser wrote, put behind one another in one container.
// https://developers.google.com/speed/webp/docs/riff_container has the format.

const ANIMATED = 0x02;
const OVERWRITE = 0x02;

/**
 * A film of frames that goes on for ever.
 * @param {Blob[]} frames WebP files of one size.
 * @param {number} milliseconds of a frame.
 */
export async function webpFilm(frames, width, height, milliseconds) {
  const size = [...int24(width - 1), ...int24(height - 1)];
  const chunks = [chunk("VP8X", [ANIMATED, 0, 0, 0, ...size]), chunk("ANIM", [0, 0, 0, 0, 0, 0])];
  for (const frame of frames) {
    const place = [...int24(0), ...int24(0), ...size, ...int24(milliseconds), OVERWRITE];
    chunks.push(chunk("ANMF", [...place, ...bitstream(new Uint8Array(await frame.arrayBuffer()))]));
  }
  const body = chunks.reduce((sum, each) => sum + each.length, 4);
  return new Blob([ascii("RIFF"), int32(body), ascii("WEBP"), ...chunks], { type: "image/webp" });
}

/** The chunk with the picture itself out of a still file. */
function bitstream(file) {
  const view = new DataView(file.buffer);
  for (let at = 12; at < file.length; ) {
    const name = String.fromCharCode(...file.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length % 2);
    if (name === "VP8 " || name === "VP8L") return file.subarray(at, end);
    at = end;
  }
  throw new Error("This browser writes no WebP pictures.");
}

function chunk(name, content) {
  const bytes = new Uint8Array(8 + content.length + (content.length % 2));
  bytes.set(ascii(name));
  bytes.set(int32(content.length), 4);
  bytes.set(content, 8);
  return bytes;
}

const ascii = (text) => new TextEncoder().encode(text);
const int24 = (value) => [value & 255, (value >> 8) & 255, value >> 16];
const int32 = (value) => Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);

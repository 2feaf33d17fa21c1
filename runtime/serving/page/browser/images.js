// Photos in, pictures out: what runtime/images.py does, to the bit.

const MAX_PIXELS = 40_000_000;
const FRACTION_BITS = 22;

/** A photo's pixels, upright, laid over white: `{width, height, channels: 3, data}`, 8 bits a channel. */
export async function readPhoto(blob) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
  const picture = await createImageBitmap(blob, options).catch(() => {
    throw new Error("The photo cannot be read: a JPEG, PNG or WebP file is wanted.");
  });
  const { width, height } = picture;
  if (width * height > MAX_PIXELS) throw new Error(`The photo has ${width}×${height} pixels; 40 million are possible.`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const data = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) data[to++] = rgba[from + channel];
  }
  return { width, height, channels: 3, data };
}

/**
 * What an encoder looks at: [1, channels, height, width] as a row. Photos over [-1, 1]; drawings in grey over [0, 1];
 * label maps as a channel a label.
 * @param photo of `readPhoto`.
 * @param image `Manifest.image`.
 * @returns {Float32Array}
 */
export function encoderInput(photo, { kind, channels, input_width: width, input_height: height }) {
  const seen = resized(kind === "photo" ? photo : grey(photo), width, height).data;
  const input = new Float32Array(channels * width * height);
  const plane = width * height;
  for (let at = 0; at < input.length; at++) {
    const channel = Math.floor(at / plane);
    const pixel = at - channel * plane;
    if (kind === "photo") input[at] = Math.fround(Math.fround(seen[3 * pixel + channel] / 255) - 0.5) / 0.5;
    else input[at] = kind === "sketch" ? seen[pixel] / 255 : seen[pixel] === channel;
  }
  return input;
}

/** ITU-R 601 luma in fixed point, as Pillow has it. */
function grey({ width, height, data }) {
  const luma = new Uint8Array(width * height);
  for (let at = 0; at < luma.length; at++) {
    luma[at] = (19595 * data[3 * at] + 38470 * data[3 * at + 1] + 7471 * data[3 * at + 2] + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: luma };
}

/** Pillow's bilinear resize: a triangle as wide as the scale, in fixed point, rows first, then columns. */
export function resized(photo, width, height) {
  const wide = width === photo.width ? photo : narrowedRows(photo, width);
  return height === wide.height ? wide : narrowedColumns(wide, height);
}

/** What each new pixel takes of the old ones: weights in fixed point of those from `first` on. */
function windows(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, at) => {
    const center = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(from, Math.trunc(center + reach + 0.5));
    const distance = (pixel) => Math.abs((pixel - center + 0.5) * (1 / reach));
    const values = Array.from({ length: last - first }, (_, at) => Math.max(0, 1 - distance(first + at)));
    const sum = values.reduce((left, right) => left + right, 0);
    return { first, weights: values.map((value) => Math.trunc(0.5 + (value / sum) * (1 << FRACTION_BITS))) };
  });
}

const HALF = 1 << (FRACTION_BITS - 1);
const rounded = (sum) => Math.min(255, Math.max(0, sum >> FRACTION_BITS));

function narrowedRows({ width: old, height, channels, data }, width) {
  const target = new Uint8Array(channels * width * height);
  const columns = windows(old, width);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (const { first, weights } of columns) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF;
        let from = channels * (row * old + first) + channel;
        for (const weight of weights) {
          sum += data[from] * weight;
          from += channels;
        }
        target[to++] = rounded(sum);
      }
    }
  }
  return { width, height, channels, data: target };
}

function narrowedColumns({ width, height: old, channels, data }, height) {
  const across = channels * width;
  const target = new Uint8Array(across * height);
  windows(old, height).forEach(({ first, weights }, row) => {
    for (let column = 0; column < across; column++) {
      let sum = HALF;
      weights.forEach((weight, at) => (sum += data[(first + at) * across + column] * weight));
      target[row * across + column] = rounded(sum);
    }
  });
  return { width, height, channels, data: target };
}

/**
 * A network's image [1, 3, height, width] about [-1, 1] in 8 bits: `clip((y + 1) / 2) * 255`, truncated.
 * @returns {ImageData}
 */
export function toPixels({ dims: [, , height, width], data }) {
  const rgba = new Uint8ClampedArray(4 * height * width).fill(255);
  const plane = height * width;
  for (let channel = 0; channel < 3; channel++) {
    for (let pixel = 0; pixel < plane; pixel++) {
      const value = data[channel * plane + pixel];
      if (Number.isNaN(value)) throw new Error("The network's image has NaN in it.");
      const share = Math.min(1, Math.max(0, Math.fround(value + 1) / 2));
      rgba[4 * pixel + channel] = Math.floor(Math.fround(share * 255));
    }
  }
  return new ImageData(rgba, width, height);
}

/** A picture as a file of a type; browsers that cannot write that type give a PNG. */
export async function encoded(pixels, type) {
  const canvas = new OffscreenCanvas(pixels.width, pixels.height);
  canvas.getContext("2d", { alpha: false }).putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type, quality: 0.85 });
}

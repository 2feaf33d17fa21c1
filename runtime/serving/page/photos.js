// Photos in: chosen, dropped, pasted, from the camera, the example; and the part of one that is inverted.

import { Camera } from "./camera.js";
import { Crop } from "./crop.js";
import { invert } from "./refining.js";
import { changes, clear, now, service } from "./state.js";
import { $, complain, enter, guarded } from "./view.js";

const crop = new Crop($("cropper"), $("canvas"), $("zoom"), $("turn"));
const camera = new Camera($("viewfinder"));
/** What is handed on as it is: what a service takes unless told otherwise. */
const TAKEN = { kinds: ["image/jpeg", "image/png", "image/webp"], bytes: 16 * 2 ** 20, pixels: 40e6 };
/** Pixels of the longer side of what is handed on instead: PNG files of that are never larger than the above. */
const MOST = 2048;
let findsFaces = false;
/** Photos that were given; only the last one is shown, whichever can be read first. */
let count = 0;

/** A photo's pixels. */
export async function read(file, name) {
  complain("");
  if (!now.bundle) throw new Error("The page does not know any model yet. Load it again.");
  if (!file.type.startsWith("image/")) throw new Error(`${name} is no picture: a JPEG, PNG or WebP file is wanted.`);
  return createImageBitmap(file).catch(() => {
    throw new Error(`${name} cannot be read: a JPEG, PNG or WebP file is wanted.`);
  });
}

/** The photo as a file and pixels that a service takes. */
async function taken(file, picture) {
  const { width, height } = picture;
  if (TAKEN.kinds.includes(file.type) && file.size <= TAKEN.bytes && width * height <= TAKEN.pixels) return [file, picture];
  const scale = Math.min(1, MOST / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return [await canvas.convertToBlob({ type: "image/png" }), await createImageBitmap(canvas)];
}

export function stemOf(name) {
  return name.replace(/\.[^.]*$/, "") || "photo";
}

/** Have `use` do something with the file that a file input gets. */
export function onFile(input, use) {
  input.onchange = () => {
    const [file] = input.files;
    input.value = "";
    if (file) guarded(use(file));
  };
}

export async function openExample() {
  await open(await service.file("page/example.png"), "example.png");
}

async function open(photo, name = photo.name || "photo") {
  const mine = ++count;
  const [file, picture] = await taken(photo, await read(photo, name));
  if (mine !== count) return;
  clear();
  const { width, height } = now.bundle.input;
  const stem = stemOf(name);
  crop.open(picture, width / height, { file, stem });
  const fits = Math.abs(picture.width / picture.height / (width / height) - 1) < 0.02;
  if (fits) return invert(file, stem);
  adjust();
  if (!$("find").hidden) await findFace();
}

/** Show the part of the photo that is inverted, to be moved. */
function adjust() {
  clear();
  enter("crop");
  crop.show();
}

async function takePhoto() {
  const photo = await camera.take();
  if (photo) await open(photo, "camera.png");
}

/** Show where the service finds the face, unless a hand is at it already. */
async function findFace() {
  const { source } = crop;
  crop.isMoved = false;
  const { image, quad } = await service.align(now.bundle.name, source.file, "face=1");
  if (crop.source !== source || crop.isMoved) return;
  source.face = image;
  crop.place(quad);
}

/** Invert what is seen: the service cuts faces, with what FFHQ does at a photo's edges. */
async function invertSeen() {
  const { file, stem, face } = crop.source;
  if (!crop.isOfFace) return invert(await crop.cut(now.bundle.input), stem);
  if (!crop.isMoved) return invert(face, stem);
  const { image } = await service.align(now.bundle.name, file, `quad=${JSON.stringify(crop.quad)}`);
  await invert(image, stem);
}

/** Where files come from a camera of the machine's own. */
function isPhone() {
  return matchMedia("(pointer: coarse)").matches;
}

$("choose").onclick = () => $("file").click();
$("camera").onclick = () => (isPhone() ? $("shot").click() : guarded(takePhoto()));
for (const id of ["file", "shot"]) onFile($(id), open);
$("example").onclick = () => guarded(openExample());
$("another").onclick = () => clear();
$("adjust").onclick = () => adjust();
$("find").onclick = () => guarded(findFace());
$("go").onclick = () => guarded(invertSeen());

addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files[0]) guarded(open(clipboardData.files[0]));
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) guarded(open(event.dataTransfer.files[0]));
  });
}

changes.addEventListener("start", ({ detail: { finds_faces, example } }) => {
  findsFaces = finds_faces;
  $("example").hidden = !example;
  $("camera").hidden = !Camera.isThere && !isPhone();
});
changes.addEventListener("bundle", () => {
  const isOfFaces = now.bundle.domain.includes("face");
  $("find").hidden = !findsFaces || !isOfFaces;
  $("cropper").classList.toggle("of-face", isOfFaces);
});

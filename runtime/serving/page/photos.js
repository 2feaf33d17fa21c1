// Photos in: chosen, dropped, pasted, from the camera, the example; and the part of one that is inverted.

import { Camera } from "./camera.js";
import { Crop } from "./crop.js";
import { invert } from "./refining.js";
import { changes, clear, now, service } from "./state.js";
import { $, complain, enter, guarded } from "./view.js";

const crop = new Crop($("cropper"), $("canvas"), $("zoom"), $("turn"));
const camera = new Camera($("viewfinder"));
let findsFaces = false;

/** A photo's pixels. */
export async function read(file, name) {
  complain("");
  if (!file.type.startsWith("image/")) throw new Error(`${name} is no picture: a JPEG, PNG or WebP file is wanted.`);
  return createImageBitmap(file).catch(() => {
    throw new Error(`${name} cannot be read: a JPEG, PNG or WebP file is wanted.`);
  });
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

async function open(file, name = file.name || "photo") {
  const picture = await read(file, name);
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

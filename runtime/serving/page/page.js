// The page: one photo, its refinement, and its edits. It talks to `service.js` alone, which is one module where a server does
// the work and another one where the browser does.

import { Camera } from "./camera.js";
import { Crop, middleOf } from "./crop.js";
import { Service } from "./service.js";

const $ = (id) => document.getElementById(id);
const service = new Service(askForToken);
const crop = new Crop($("cropper"), $("canvas"), $("zoom"), $("turn"));
const camera = new Camera($("viewfinder"));

/** The bundle that is used; its facts are those of /v1/bundles, and where the browser does the work, what it `loads`. */
let bundle = null;
/** What begins the name of another person who is mixed in; no direction's name begins so. */
const MIXED = "@";
/** Of a film, there without back: as many as one request may have. */
const FRAMES = 32;
/** Whether the service finds faces. */
let findsFaces = false;
/** What the service writes films as. */
let filmKind = "webp";
/** What is shown: the photo's name and address, every step's, and what the inversion gave at its end. */
let shown = null;
/** Ends the inversion that runs. */
let running = null;

// ---- what is seen -----------------------------------------------------------------------------------------------

function enter(state) {
  document.body.dataset.state = state;
  for (const id of ["save-image", "save-inversion", "mix"]) $(id).disabled = state !== "done";
  for (const slider of $("sliders").querySelectorAll("input")) slider.disabled = state !== "done";
}

function complain(message) {
  $("trouble").firstElementChild.textContent = message;
  $("trouble").hidden = !message;
}

/** A promise whose errors are shown; one that was cancelled is none. */
function guarded(promise) {
  return promise.catch((error) => {
    if (error.name !== "AbortError") complain(error.message || String(error));
  });
}

// ---- bundles and their sliders ----------------------------------------------------------------------------------

async function start() {
  const { bundles, finds_faces, example, films } = await service.bundles();
  [filmKind] = films;
  $("save-film").hidden = !filmKind;
  $("bundle").replaceChildren(...bundles.map(({ name }) => new Option(name, name)));
  $("bundle-choice").hidden = bundles.length < 2;
  $("example").hidden = !example;
  findsFaces = finds_faces;
  $("camera").hidden = !Camera.isThere && !isPhone();
  const use = () => choose(bundles.find(({ name }) => name === $("bundle").value));
  $("bundle").onchange = use;
  use();
  // What loads something first says how much, and waits for a photo.
  if (location.hash.startsWith("#example") && !bundle.loads) await openExample();
}

function choose(chosen) {
  bundle = chosen;
  const { image, input, domain, method, backend, directions, loads } = bundle;
  $("facts").textContent = `${domain.replaceAll("_", " ")} · ${method} · ${image.width}×${image.height} · ${backend}`;
  document.documentElement.style.setProperty("--aspect", input.width / input.height);
  document.documentElement.style.setProperty("--most", `${Math.min(640, Math.max(448, image.width))}px`);
  $("sliders").replaceChildren(...directions.map(slider));
  $("find").hidden = !findsFaces || !isOfFaces();
  $("cropper").classList.toggle("of-face", isOfFaces());
  $("no-directions").hidden = directions.length > 0;
  $("loads").hidden = !loads;
  if (loads) {
    const parts = `${size(loads.model)} the model, ${size(loads.runtime)} what runs it`;
    $("loads").textContent = `The first photo loads ${size(loads.model + loads.runtime)}: ${parts}. Photos stay on this machine.`;
  }
  clear();
}

function isOfFaces() {
  return bundle.domain.includes("face");
}

/** Where files come from a camera of the machine's own. */
function isPhone() {
  return matchMedia("(pointer: coarse)").matches;
}

/** Bytes as people read them. */
function size(bytes) {
  const [unit, scale] = bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(bytes / scale).toFixed(1)} ${unit}`;
}

function slider({ name, strengths: [low, high] }) {
  const label = document.createElement("label");
  const text = name.replace(MIXED, "").replaceAll(/[_-]/g, " ");
  const input = Object.assign(document.createElement("input"), { type: "range", min: low, max: high, step: (high - low) / 200 });
  const rest = Math.min(high, Math.max(low, 0));
  const output = document.createElement("output");
  input.dataset.name = name;
  input.move = (value, moved) => {
    input.value = value;
    label.classList.toggle("moved", (input.moved = moved));
    output.value = moved ? Number(input.value).toFixed(high - low > 1 ? 1 : 2) : "–";
    const anyMoved = $("sliders").querySelector(".moved") !== null;
    $("reset").disabled = !anyMoved;
    $("save-film").disabled = !anyMoved;
  };
  input.rest = () => input.move(rest, false);
  input.oninput = () => {
    input.move(input.value, true);
    redraw();
  };
  input.ondblclick = () => {
    input.rest();
    redraw();
  };
  const words = Object.assign(document.createElement("span"), { textContent: text[0].toUpperCase() + text.slice(1) });
  label.append(words, input, output);
  label.title = "Double-click: as it was";
  input.rest();
  return label;
}

/** Strengths of the sliders that were moved. */
function edit() {
  const moved = [...$("sliders").querySelectorAll("input")].filter((input) => input.moved);
  return Object.fromEntries(moved.map((input) => [input.dataset.name, Number(input.value)]));
}

// ---- photos in --------------------------------------------------------------------------------------------------

/** A photo's pixels. */
async function read(file, name) {
  complain("");
  if (!file.type.startsWith("image/")) throw new Error(`${name} is no picture: a JPEG, PNG or WebP file is wanted.`);
  return createImageBitmap(file).catch(() => {
    throw new Error(`${name} cannot be read: a JPEG, PNG or WebP file is wanted.`);
  });
}

function stemOf(name) {
  return name.replace(/\.[^.]*$/, "") || "photo";
}

async function open(file, name = file.name || "photo") {
  const picture = await read(file, name);
  clear();
  const { width, height } = bundle.input;
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

async function openExample() {
  await open(await service.file("page/example.png"), "example.png");
}

/** Show where the service finds the face, unless a hand is at it already. */
async function findFace() {
  const { source } = crop;
  crop.isMoved = false;
  const { image, quad } = await service.align(bundle.name, source.file, "face=1");
  if (crop.source !== source || crop.isMoved) return;
  source.face = image;
  crop.place(quad);
}

/** Invert what is seen: the service cuts faces, with what FFHQ does at a photo's edges. */
async function invertSeen() {
  const { file, stem, face } = crop.source;
  if (!crop.isOfFace) return invert(await crop.cut(bundle.input), stem);
  if (!crop.isMoved) return invert(face, stem);
  const { image } = await service.align(bundle.name, file, `quad=${JSON.stringify(crop.quad)}`);
  await invert(image, stem);
}

function clear() {
  running?.abort();
  for (const url of shown?.urls ?? []) URL.revokeObjectURL(url);
  shown = null;
  wanted = null;
  removeMix();
  for (const input of $("sliders").querySelectorAll("input")) input.rest();
  $("film").replaceChildren();
  $("status").textContent = "";
  enter("empty");
}

// ---- the inversion, step by step --------------------------------------------------------------------------------

async function invert(file, stem) {
  clear();
  const mine = (shown = { stem, urls: [URL.createObjectURL(file)], result: null });
  $("photo").src = mine.urls[0];
  $("result").removeAttribute("src");
  cut(100);
  film(bundle.default_steps, mine.urls[0]);
  $("status").textContent = "Waiting …";
  enter("working");
  running = new AbortController();
  try {
    for await (const [kind, event] of service.invert(bundle.name, file, running.signal)) {
      if (kind === "loading") showLoading(event);
      else if (kind === "step") showStep(mine, event);
      else showResult(mine, event);
    }
  } catch (error) {
    if (shown === mine) clear();
    throw error;
  }
}

function film(steps, photo) {
  const names = ["Photo", ...Array.from({ length: steps + 1 }, (_, step) => (step ? `Step ${step}` : "Start"))];
  $("film").replaceChildren(...names.map((name, place) => {
    const item = document.createElement("li");
    item.innerHTML = '<button type="button" disabled><i></i><span></span></button>';
    item.querySelector("span").textContent = name;
    if (!place) fill(item, photo, () => look(item, photo, 100));
    return item;
  }));
}

function fill(item, url, click) {
  const button = item.firstElementChild;
  button.firstElementChild.replaceWith(Object.assign(new Image(), { src: url, alt: "" }));
  button.disabled = false;
  button.onclick = click;
}

/** Show a picture of the film in the stage. */
function look(item, url, photo) {
  for (const button of $("film").querySelectorAll("button")) button.setAttribute("aria-pressed", button.parentElement === item);
  $("after").textContent = item.textContent;
  if (photo !== 100) $("result").src = url;
  cut(photo);
}

function showLoading({ loaded }) {
  const { model, runtime } = bundle.loads;
  const share = Math.min(1, loaded / (model + runtime));
  $("status").textContent = share < 1 ? `Loading the model: ${Math.floor(100 * share)} %` : "Starting the model …";
}

function showStep(mine, { step, steps, l2, image }) {
  const url = URL.createObjectURL(image);
  mine.urls.push(url);
  const item = $("film").children[step + 1];
  fill(item, url, () => look(item, url, 0));
  look(item, url, 0);
  $("status").textContent = `Step ${step} of ${steps}` + (l2 === null ? "" : ` · error ${l2.toFixed(4)}`);
}

function showResult(mine, result) {
  const url = URL.createObjectURL(result.image);
  mine.urls.push(url);
  mine.result = { ...result, url };
  const item = $("film").children[result.steps + 1];
  fill(item, url, () => {
    look(item, url, 0);
    redraw();
  });
  look(item, url, 0);
  cut(50);
  const error = result.l2.length ? ` · error ${result.l2.at(-1).toFixed(4)}` : "";
  $("status").textContent = `${result.steps} steps${error}`;
  enter("done");
}

function cut(share) {
  $("cut").value = share;
  $("compare").style.setProperty("--cut", `${share}%`);
}

// ---- edits: one request at a time, then the newest ---------------------------------------------------------------

let wanted = null;
let drawing = false;

function redraw() {
  wanted = edit();
  if (!drawing) guarded(drawWanted());
}

async function drawWanted() {
  drawing = true;
  try {
    while (wanted && shown?.result) {
      const [mine, next] = [shown, wanted];
      wanted = null;
      const plain = Object.keys(next).length === 0;
      const url = plain ? mine.result.url : await drawn(mine, next);
      if (shown !== mine) continue;
      $("result").src = url;
      $("after").textContent = plain ? "Inversion" : "Edited";
      if (Number($("cut").value) > 90) cut(50);
    }
  } finally {
    drawing = false;
  }
}

async function drawn(mine, strengths) {
  const format = bundle.image.width <= 256 ? "png" : "webp";
  const { images } = await edited(mine, [strengths], { format });
  if (mine.edited) URL.revokeObjectURL(mine.edited);
  return (mine.edited = URL.createObjectURL(images[0]));
}

function edited({ result, mix }, edits, how) {
  const mixes = edits.some((each) => mix?.name in each) ? { [mix.name]: { inversion: mix.inversion } } : {};
  return service.edit({ bundle: result.bundle, inversion: result.inversion, edits, mixes, ...how });
}

// ---- another person -------------------------------------------------------------------------------------------------

async function openMix(file) {
  const mine = shown;
  const picture = await read(file, file.name);
  const stem = stemOf(file.name);
  $("mix").disabled = true;
  $("status").textContent = `Inverting ${stem} …`;
  try {
    const photo = await middleOf(picture, bundle.input);
    for await (const [kind, event] of service.invert(bundle.name, photo, running.signal)) {
      if (kind === "done" && shown === mine) mixIn(mine, stem, event.inversion);
    }
  } finally {
    if (shown === mine) {
      $("mix").disabled = false;
      $("status").textContent = "";
    }
  }
}

function mixIn(mine, stem, inversion) {
  removeMix();
  mine.mix = { name: MIXED + stem, inversion };
  const label = slider({ name: mine.mix.name, strengths: [0, 1] });
  $("sliders").append(label);
  label.querySelector("input").move(0.5, true);
  redraw();
}

function removeMix() {
  $("sliders").querySelector(`input[data-name^="${MIXED}"]`)?.parentElement.remove();
}

// ---- results out ------------------------------------------------------------------------------------------------

function save(blob, name) {
  Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name }).click();
}

function nameOf({ stem }, strengths) {
  return stem + Object.entries(strengths).map(([name, strength]) => `.${name}=${strength.toFixed(1)}`).join("");
}

async function saveImage() {
  const [mine, strengths] = [shown, edit()];
  const { images } = await edited(mine, [strengths], { format: "png" });
  save(images[0], `${nameOf(mine, strengths)}.png`);
}

/** From the person as inverted to the edit, slowly at both ends; the way back is added. */
async function saveFilm() {
  const [mine, strengths] = [shown, edit()];
  const ease = (t) => t * t * (3 - 2 * t);
  const part = (share) => Object.fromEntries(Object.entries(strengths).map(([name, strength]) => [name, strength * share]));
  const edits = Array.from({ length: FRAMES }, (_, frame) => part(ease(frame / (FRAMES - 1))));
  $("save-film").disabled = true;
  try {
    const { film } = await edited(mine, edits, { film: filmKind });
    save(film, `${nameOf(mine, strengths)}.${filmKind}`);
  } finally {
    $("save-film").disabled = document.body.dataset.state !== "done" || $("reset").disabled;
  }
}

function saveInversion() {
  save(shown.result.file, `${shown.stem}.inversion`);
}

function askForToken() {
  return new Promise((resolve) => {
    $("ask").onclose = () => resolve($("token").value.trim());
    $("ask").showModal();
  });
}

// ---- hands ------------------------------------------------------------------------------------------------------

$("choose").onclick = () => $("file").click();
$("camera").onclick = () => (isPhone() ? $("shot").click() : guarded(takePhoto()));
for (const id of ["file", "shot"]) {
  $(id).onchange = ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) guarded(open(file));
  };
}
$("mix").onclick = () => $("other").click();
$("other").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) guarded(openMix(file));
};
$("example").onclick = () => guarded(openExample());
$("another").onclick = () => clear();
$("adjust").onclick = () => adjust();
$("cancel").onclick = () => clear();
$("find").onclick = () => guarded(findFace());
$("go").onclick = () => guarded(invertSeen());
$("reset").onclick = () => {
  for (const input of $("sliders").querySelectorAll("input")) input.rest();
  redraw();
};
$("save-image").onclick = () => guarded(saveImage());
$("save-film").onclick = () => guarded(saveFilm());
$("save-inversion").onclick = saveInversion;
$("cut").oninput = ({ target }) => cut(target.value);
$("trouble").lastElementChild.onclick = () => complain("");

addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && document.body.dataset.state === "working") clear();
});
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

guarded(start());

// Results out: picture, film, inversion.

import { edited } from "./editing.js";
import { strengths } from "./sliders.js";
import { changes, now } from "./state.js";
import { $, guarded } from "./view.js";

/** Of a film, there without back: as many as one request may have. */
const FRAMES = 32;
/** What the service writes films as. */
let filmKind = null;

function save(blob, name) {
  Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name }).click();
}

function nameOf({ stem }, edit) {
  return stem + Object.entries(edit).map(([name, strength]) => `.${name}=${strength.toFixed(1)}`).join("");
}

async function saveImage() {
  const [mine, edit] = [now.shown, strengths()];
  const { images } = await edited(mine, [edit], { format: "png" });
  save(images[0], `${nameOf(mine, edit)}.png`);
}

/** From the person as inverted to the edit, slowly at both ends; the way back is added. */
async function saveFilm() {
  const [mine, edit] = [now.shown, strengths()];
  const ease = (t) => t * t * (3 - 2 * t);
  const part = (share) => Object.fromEntries(Object.entries(edit).map(([name, strength]) => [name, strength * share]));
  const edits = Array.from({ length: FRAMES }, (_, frame) => part(ease(frame / (FRAMES - 1))));
  $("save-film").disabled = true;
  try {
    const { film } = await edited(mine, edits, { film: filmKind });
    save(film, `${nameOf(mine, edit)}.${filmKind}`);
  } finally {
    allowFilm();
  }
}

function saveInversion() {
  save(now.shown.result.file, `${now.shown.stem}.inversion`);
}

/** There is a film of what was edited alone. */
function allowFilm() {
  $("save-film").disabled = document.body.dataset.state !== "done" || !Object.keys(strengths()).length;
}

$("save-image").onclick = () => guarded(saveImage());
$("save-film").onclick = () => guarded(saveFilm());
$("save-inversion").onclick = saveInversion;
changes.addEventListener("start", ({ detail: { films } }) => {
  [filmKind] = films;
  $("save-film").hidden = !filmKind;
});
changes.addEventListener("moved", allowFilm);

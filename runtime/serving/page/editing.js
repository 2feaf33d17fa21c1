// Pictures of edits: one request at a time, then the newest strengths.

import { strengths } from "./sliders.js";
import { changes, now, service, tell } from "./state.js";
import { $, complain, cut, guarded } from "./view.js";

let wanted = null;
let drawing = false;

/** Show what the sliders say. */
export function redraw() {
  wanted = strengths();
  if (!drawing) guarded(drawWanted());
}

/** What the service makes of edits of a person; `how` is the rest of what /v1/edit takes. */
export function edited({ result, mix }, edits, how) {
  const mixes = edits.some((each) => mix?.name in each) ? { [mix.name]: { inversion: mix.inversion } } : {};
  return service.edit({ bundle: result.bundle, generator: now.generator, inversion: result.inversion, edits, mixes, ...how });
}

async function drawWanted() {
  drawing = true;
  try {
    while (wanted && now.shown?.result) {
      const [mine, next] = [now.shown, wanted];
      wanted = null;
      const plain = Object.keys(next).length === 0;
      const url = plain ? mine.result.url : await drawn(mine, next);
      if (now.shown !== mine) continue;
      $("result").src = url;
      tell("drawn");
      $("after").textContent = plain ? "Inversion" : "Edited";
      if (Number($("cut").value) > 90) cut(50);
    }
  } finally {
    drawing = false;
  }
}

async function drawn(mine, next) {
  const format = now.bundle.image.width <= 256 ? "png" : "webp";
  const { images } = await edited(mine, [next], { format });
  complain(""); // whatever was wrong is over
  if (mine.edited) URL.revokeObjectURL(mine.edited);
  return (mine.edited = URL.createObjectURL(images[0]));
}

changes.addEventListener("edit", redraw);
changes.addEventListener("clear", () => (wanted = null));

// Which generator draws: the model's own, or a further one that the service has loaded beside it.

import { invert } from "./refining.js";
import { move, strengths } from "./sliders.js";
import { changes, now, tell } from "./state.js";
import { $, guarded } from "./view.js";

/** Draw whoever is shown by the one that is chosen now, edited as before; codes can be others, so the photo is inverted again. */
async function again() {
  now.generator = $("generator").value || null;
  if (!now.shown) return;
  const { file, stem, result, moved } = now.shown;
  const kept = result ? strengths() : moved;
  const inverted = invert(file, stem);
  now.shown.moved = kept;
  await inverted;
  move(kept);
  tell("edit");
}

$("generator").onchange = () => guarded(again());
changes.addEventListener("bundle", () => {
  const { generators = [] } = now.bundle;
  now.generator = null;
  $("generator").replaceChildren(new Option("its own generator", ""), ...generators.map((name) => new Option(name, name)));
  $("generator-choice").hidden = !generators.length;
});

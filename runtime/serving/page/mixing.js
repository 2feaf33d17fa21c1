// Another person, mixed in with a slider.

import { middleOf } from "./crop.js";
import { onFile, read, stemOf } from "./photos.js";
import { add, MIXED, removeMix } from "./sliders.js";
import { now, service, tell } from "./state.js";
import { $, say } from "./view.js";

async function openMix(file) {
  const mine = now.shown;
  const picture = await read(file, file.name);
  const stem = stemOf(file.name);
  $("mix").disabled = true;
  const said = $("status").textContent;
  say(`Inverting ${stem} …`);
  try {
    const photo = await middleOf(picture, now.bundle.input);
    for await (const [kind, event] of service.invert(now.bundle.name, photo, now.running.signal, now.generator)) {
      if (kind === "done" && now.shown === mine) mixIn(mine, stem, event.inversion);
    }
  } finally {
    if (now.shown === mine) {
      $("mix").disabled = false;
      say(said);
    }
  }
}

function mixIn(mine, stem, inversion) {
  removeMix();
  mine.mix = { name: MIXED + stem, inversion };
  add({ name: mine.mix.name, strengths: [0, 1] }).move(0.5, true);
  tell("edit");
}

$("mix").onclick = () => $("other").click();
onFile($("other"), openMix);

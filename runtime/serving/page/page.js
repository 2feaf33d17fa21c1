// The page: one photo, its refinement, and its edits. This module has it begin; its parts, one a subject, are imported here.

import "./generators.js";
import "./mixing.js";
import { openExample } from "./photos.js";
import "./saving.js";
import { changes, now, service, tell, use } from "./state.js";
import { $, guarded } from "./view.js";

async function start() {
  const offered = await service.bundles();
  const { bundles } = offered;
  tell("start", offered);
  $("bundle").replaceChildren(...bundles.map(({ name }) => new Option(name, name)));
  $("bundle-choice").hidden = bundles.length < 2;
  const choose = () => use(bundles.find(({ name }) => name === $("bundle").value));
  $("bundle").onchange = choose;
  choose();
  // What loads something first says how much, and waits for a photo.
  if (location.hash.startsWith("#example") && !now.bundle.loads) await openExample();
}

function showFacts() {
  const { image, input, domain, method, backend, loads } = now.bundle;
  $("facts").textContent = `${domain.replaceAll("_", " ")} · ${method} · ${image.width}×${image.height} · ${backend}`;
  document.documentElement.style.setProperty("--aspect", input.width / input.height);
  document.documentElement.style.setProperty("--most", `${Math.min(640, Math.max(448, image.width))}px`);
  $("loads").hidden = !loads;
  if (loads) {
    const parts = `${size(loads.model)} the model, ${size(loads.runtime)} what runs it`;
    $("loads").textContent = `The first photo loads ${size(loads.model + loads.runtime)}: ${parts}. Photos stay on this machine.`;
  }
}

/** Bytes as people read them. */
function size(bytes) {
  const [unit, scale] = bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(bytes / scale).toFixed(1)} ${unit}`;
}

changes.addEventListener("bundle", showFacts);
guarded(start());

// A photo's inversion, step by step.

import { redraw } from "./editing.js";
import { changes, clear, now, service } from "./state.js";
import { $, cut, enter, say } from "./view.js";

/** Invert a photo and show it; `stem` names what is saved of it. */
export async function invert(file, stem) {
  clear();
  const mine = (now.shown = { file, stem, urls: [URL.createObjectURL(file)], result: null });
  $("photo").src = mine.urls[0];
  $("result").removeAttribute("src");
  cut(100);
  film(now.bundle.default_steps, mine.urls[0]);
  say("Waiting …");
  enter("working");
  now.running = new AbortController();
  try {
    for await (const [kind, event] of service.invert(now.bundle.name, file, now.running.signal, now.generator)) {
      if (kind === "loading") showLoading(event);
      else if (kind === "step") showStep(mine, event);
      else showResult(mine, event);
    }
  } catch (error) {
    if (now.shown === mine) clear();
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

/** Show a picture of the film in the stage, and where it is in the film. */
function look(item, url, photo) {
  const strip = $("film");
  strip.scrollLeft = item.offsetLeft - strip.offsetLeft - (strip.clientWidth - item.clientWidth) / 2;
  mark(item);
  $("after").textContent = item.textContent;
  if (photo !== 100) $("result").src = url;
  cut(photo);
}

/** Show in the film which of its pictures is in the stage. */
function mark(item) {
  for (const each of $("film").children) each.firstElementChild.setAttribute("aria-pressed", each === item);
}

function showLoading({ loaded }) {
  const { model, runtime } = now.bundle.loads;
  const share = Math.min(1, loaded / (model + runtime));
  say(share < 1 ? `Loading the model: ${Math.floor(100 * share)} %` : "Starting the model …");
}

function showStep(mine, { step, steps, l2, image }) {
  const url = URL.createObjectURL(image);
  mine.urls.push(url);
  const item = $("film").children[step + 1];
  fill(item, url, () => look(item, url, 0));
  look(item, url, 0);
  say(`Step ${step} of ${steps}` + (l2 === null ? "" : ` · error ${l2.toFixed(4)}`));
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
  say(`${result.steps} steps${error}`);
  enter("done");
}

$("cancel").onclick = () => clear();
addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && document.body.dataset.state === "working") clear();
});
changes.addEventListener("drawn", () => mark($("film").children[now.shown.result.steps + 1]));
changes.addEventListener("clear", () => {
  $("film").replaceChildren();
  say("");
});

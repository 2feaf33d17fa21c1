// A slider for every direction of the bundle, and for other people who are mixed in.

import { changes, now, tell } from "./state.js";
import { $ } from "./view.js";

/** What begins the name of another person who is mixed in; no direction's name begins so. */
export const MIXED = "@";

/** Add a slider; `move(value, moved)` and `rest()` set it without an edit. */
export function add({ name, strengths: [low, high] }) {
  const label = document.createElement("label");
  const text = name.replace(MIXED, "").replaceAll(/[_-]/g, " ");
  const input = Object.assign(document.createElement("input"), { type: "range", min: low, max: high, step: (high - low) / 200 });
  const rest = Math.min(high, Math.max(low, 0));
  const output = document.createElement("output");
  input.className = "of-result";
  output.ariaHidden = "true"; // the slider itself says its value
  input.dataset.name = name;
  input.move = (value, moved) => {
    input.value = value;
    label.classList.toggle("moved", (input.moved = moved));
    output.value = moved ? Number(input.value).toFixed(high - low > 1 ? 1 : 2) : "–";
    tell("moved");
  };
  input.rest = () => input.move(rest, false);
  input.oninput = () => {
    input.move(input.value, true);
    tell("edit");
  };
  input.ondblclick = () => {
    input.rest();
    tell("edit");
  };
  const words = Object.assign(document.createElement("span"), { textContent: text[0].toUpperCase() + text.slice(1) });
  label.append(words, input, output);
  label.title = "Double-click: as it was";
  $("sliders").append(label);
  input.rest();
  return input;
}

/** Strengths of the sliders that were moved. */
export function strengths() {
  const moved = all().filter((input) => input.moved);
  return Object.fromEntries(moved.map((input) => [input.dataset.name, Number(input.value)]));
}

/** Move sliders without an edit, by their names; one that is not there any more is left out. */
export function move(strengths) {
  for (const input of all()) if (input.dataset.name in strengths) input.move(strengths[input.dataset.name], true);
}

export function removeMix() {
  for (const input of all()) if (input.dataset.name.startsWith(MIXED)) input.parentElement.remove();
  tell("moved");
}

function all() {
  return [...$("sliders").querySelectorAll("input")];
}

function rest() {
  for (const input of all()) input.rest();
}

$("reset").onclick = () => {
  rest();
  tell("edit");
};
changes.addEventListener("moved", () => ($("reset").disabled = !$("sliders").querySelector(".moved")));
changes.addEventListener("bundle", () => {
  $("sliders").replaceChildren();
  now.bundle.directions.forEach(add);
  $("no-directions").hidden = now.bundle.directions.length > 0;
});
changes.addEventListener("clear", () => {
  removeMix();
  rest();
});

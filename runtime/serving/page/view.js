// What the whole page has: its elements, the state it is in, and what it says.

export const $ = (id) => document.getElementById(id);

/**
 * One of "empty", "crop", "working", "done": which parts are seen; what is `of-result` can be used when done. Whoever
 * was at a part that is not seen any more, with keys, goes on at the stage: where Enter, still held, does nothing.
 */
export function enter(state) {
  const focused = document.activeElement;
  document.body.dataset.state = state;
  for (const control of document.querySelectorAll(".of-result")) control.disabled = state !== "done";
  if (focused === document.body || focused.checkVisibility({ visibilityProperty: true })) return;
  $({ empty: "drop", crop: "cropper" }[state] ?? "cut").focus({ preventScroll: true });
}

export function say(status) {
  $("status").textContent = status;
}

export function complain(message) {
  $("trouble").firstElementChild.textContent = message;
  $("trouble").hidden = !message;
}

/** A promise whose errors are shown; one that was cancelled is none. */
export function guarded(promise) {
  return promise.catch((error) => {
    if (error.name !== "AbortError") complain(error.message || String(error));
  });
}

/** How much of the photo is seen beside the result, in per cent. */
export function cut(share) {
  $("cut").value = share;
  $("compare").style.setProperty("--cut", `${share}%`);
}

/** @param again whether there was one, which was not the service's. */
export function askForToken(again) {
  $("ask").querySelector("p").textContent = again ? "This service has another token." : "This service asks for its token.";
  $("token").value = "";
  return new Promise((resolve) => {
    $("ask").onclose = () => resolve($("token").value.trim());
    $("ask").showModal();
  });
}

$("cut").oninput = ({ target }) => cut(target.value);
$("trouble").lastElementChild.onclick = () => complain("");

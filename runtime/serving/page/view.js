// What the whole page has: its elements, the state it is in, and what it says.

export const $ = (id) => document.getElementById(id);

/** One of "empty", "crop", "working", "done": which parts are seen; what is `of-result` can be used when done. */
export function enter(state) {
  document.body.dataset.state = state;
  for (const control of document.querySelectorAll(".of-result")) control.disabled = state !== "done";
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

export function askForToken() {
  return new Promise((resolve) => {
    $("ask").onclose = () => resolve($("token").value.trim());
    $("ask").showModal();
  });
}

$("cut").oninput = ({ target }) => cut(target.value);
$("trouble").lastElementChild.onclick = () => complain("");

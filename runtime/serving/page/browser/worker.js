// Where the model runs, so that the page answers meanwhile. A message asks for a call; events answer it, under its number.

import { People } from "./people.js";

let people = null;
/** What breaks off each call that runs. */
const running = new Map();

onmessage = ({ data: { call, name, argument } }) => {
  if (name === "open") people = new People(argument.entry, argument.device);
  else if (name === "cancel") running.get(call)?.abort();
  else answer(call, name, argument);
};

async function answer(call, name, argument) {
  const controller = new AbortController();
  running.set(call, controller);
  try {
    for await (const event of people[name](argument, controller.signal)) postMessage({ call, event });
    postMessage({ call, end: true });
  } catch (error) {
    postMessage({ call, error: { name: error.name, message: error.message || String(error) } });
  } finally {
    running.delete(call);
  }
}

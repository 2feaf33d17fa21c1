// What the page is at: the service that it asks, the bundle, and whose photo is shown. Every part of the page reads it here,
// and hears of `changes`; a further part is a module that does so too, and that `page.js` imports.

import { Service } from "./service.js";
import { askForToken, enter } from "./view.js";

/** Asks a server, or has this browser do the work: there are two modules of that name. */
export const service = new Service(askForToken);

export const now = {
  /** The bundle's facts, those of /v1/bundles, and where the browser does the work, what it `loads`. */
  bundle: null,
  /** The further generator that draws, by its name; null: the bundle's own. */
  generator: null,
  /** The photo (`file`), its name (`stem`), addresses of its pictures (`urls`), and what the inversion gave at its end (`result`). */
  shown: null,
  /** Ends the inversion that runs. */
  running: null,
};

/**
 * "start" (`detail` is what the service offers), "bundle" (another one is used), "clear" (nobody is shown any more),
 * "moved" (a slider stands elsewhere), "edit" (its picture is wanted), "drawn" (it is in the stage).
 */
export const changes = new EventTarget();

export function tell(change, detail) {
  changes.dispatchEvent(new CustomEvent(change, { detail }));
}

export function use(bundle) {
  now.bundle = bundle;
  tell("bundle");
  clear();
}

/** Show nobody. */
export function clear() {
  now.running?.abort();
  for (const url of now.shown?.urls ?? []) URL.revokeObjectURL(url);
  now.shown = null;
  tell("clear");
  enter("empty");
}

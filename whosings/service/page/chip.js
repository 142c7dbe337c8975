// An outcome as a word with a sign: colour is never all that tells it.

import { el, icon } from "./dom.js";

const SYMBOLS = { named: "check", "worth a look": "look", unknown: "unknown", "no vocals": "silent" };

/** What is said of a song or of a voice. */
export function chip(outcome) {
  return el("span", { class: `tag ${outcome.replaceAll(" ", "-")}` }, icon(SYMBOLS[outcome]), outcome);
}

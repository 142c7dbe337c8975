// What went wrong, in a sentence, and what can be done about it.

import { button, el, icon, put } from "./dom.js";

/**
 * A box that says what went wrong.
 * @param {Error} error
 * @param {(() => void)|null} again  does the same once more, where that may help.
 */
export function faultOf(error, again = null) {
  const wait = error.retryAfter_s ? ` It may work in ${Math.ceil(error.retryAfter_s)} s.` : "";
  const retry = again && error.passing ? button("Try again", again, { kind: "small" }) : null;
  return el(
    "div",
    { class: "fault box", role: "alert" },
    icon("warn"),
    el("p", {}, `${error.message}${wait}`),
    retry,
  );
}

/**
 * Fill a place with what a request gives, or with what went wrong.
 * @param {HTMLElement} place
 * @param {() => Promise<Node|Node[]>} make
 */
export async function fill(place, make) {
  place.setAttribute("aria-busy", "true");
  try {
    put(place, await make());
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(faultOf(error, () => fill(place, make)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

// Links between the parts of one view.

import { el } from "./dom.js";

/** @param {[string, string][]} links  addresses and texts. */
export function subtabs(label, links, current) {
  const items = links.map(([href, text]) =>
    el("li", {}, el("a", { href, "aria-current": href === current ? "page" : null }, text)),
  );
  return el("nav", { class: "subtabs", "aria-label": label }, el("ul", { class: "plain" }, items));
}

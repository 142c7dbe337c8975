// Elements by function. Text enters the page as text only, whatever a file or a singer is called.

import { printable } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  play: "M8 5.2v13.6L19 12z",
  pause: "M8 5v14M16 5v14",
  upload: "M12 16V5m-5 5 5-5 5 5M5 19h14",
  check: "m5 12.5 4.5 4.5L19 7.5",
  cross: "M6 6l12 12M18 6 6 18",
  look:
    "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z" +
    "M12 14.7a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4z",
  unknown: "M9 9.2a3 3 0 1 1 4.4 2.6c-.9.5-1.4 1.1-1.4 2.2M12 17.5v.1",
  silent: "M4 12h2m3 0h1m4 0h1m3 0h2",
  people:
    "M9 11a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 9 11zm-6 8c0-3.2 2.6-5.2 6-5.2s6 2 6 5.2" +
    "M15.5 4.9a3.2 3.2 0 0 1 0 5.9M17.5 14.2c2.1.6 3.5 2.3 3.5 4.8",
  wave: "M3 10v4M7.5 6v12M12 9v6M16.5 4v16M21 10v4",
  shelf: "M4 5v14M8.5 5v14M13 5.5l5 13.2M3 19.5h18",
  tick: "M4 6.5h9M4 12h6M4 17.5h6M13 16l2.8 2.8L21 13.5",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zm5-2 4.5 4.5",
  plus: "M12 5v14M5 12h14",
  warn: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.1",
};

/**
 * An element.
 * @param {string} name
 * @param {object} attributes  "on..." takes a listener, "--x" a custom property; null and false leave one out.
 * @param {...(Node|string|number|null|false|Array)} children  Strings become text.
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Let an element hold these children and nothing else. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A drawing beside a text that says the same. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that does something in this page. */
export function button(text, onclick, { kind = "", symbol = null, label = null, ...rest } = {}) {
  const face = symbol ? [icon(symbol), text ? el("span", {}, text) : null] : [text];
  return el("button", { type: "button", class: `button ${kind}`, "aria-label": label, onclick, ...rest }, face);
}

/** A name given by somebody: kept apart from the direction of the text around it, and cut where it is very long. */
export function nameOf(name) {
  const text = printable(name);
  const long = text.length > 80;
  return el("bdi", { class: long ? "name long" : "name", title: long ? text : null }, text);
}

/** Say something to people who hear the page instead of seeing it. */
export function announce(text) {
  const status = document.getElementById("status");
  status.textContent = "";
  setTimeout(() => {
    status.textContent = text;
  }, 30); // the same text twice is said twice
}

let lastId = 0;

/** An id for elements that refer to each other. */
export function newId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** Call something once typing has paused. */
export function debounced(call, wait_ms = 250) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), wait_ms);
  };
}

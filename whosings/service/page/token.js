// The question for a token, where the service needs one.

import { el, icon } from "./dom.js";

/**
 * @param {boolean} wrong  one was given, and the service does not know it.
 * @param {(token: string) => void} onToken
 */
export function tokenView(wrong, onToken) {
  const input = el("input", {
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const give = (event) => {
    event.preventDefault();
    onToken(input.value.trim());
  };
  return el(
    "form",
    { class: "card narrow", onsubmit: give },
    el("h1", {}, "A token, please"),
    el("p", {}, "This server answers only those who have a token. Whoever runs it can give you one."),
    wrong
      ? el(
          "div",
          { class: "fault box", role: "alert" },
          icon("warn"),
          el("p", {}, "The server does not know this token."),
        )
      : null,
    el("label", { class: "field" }, "Token", input),
    el("p", { class: "soft small" }, "It is kept until this tab is closed."),
    el("div", { class: "row end" }, el("button", { type: "submit", class: "button primary" }, "Go on")),
  );
}

// What a person decides on a voice: buttons, the question who else it is, and what was decided in words.

import { askName } from "./dialogs.js";
import { announce, button, el, icon, nameOf, put } from "./dom.js";
import { faultOf } from "./faults.js";

/** A decision in words, as parts. */
export function decisionParts(decision) {
  const name = decision.singer ? nameOf(decision.singer) : "somebody else";
  return (
    {
      confirm: ["Confirmed: ", name],
      reject: ["Not ", name],
      "somebody else": ["It is ", name],
      "not sung": ["Not sung"],
      "name group": ["Group named ", name],
      "merge groups": ["Groups merged"],
      "split group": ["Group split"],
    }[decision.deed] ?? [decision.deed]
  );
}

/**
 * Buttons by which a voice is decided on.
 * @param {object} app
 * @param {string|null} singer  who it is said to be.
 * @param {string} about  the voice in words, for people who hear the page.
 * @param {object|null} decision  what was decided before.
 * @param {(said: {decision: string, singer: string|null}) => Promise<object>} decide
 * @param {boolean} [rejects]  whether "it is not" has a button of its own, or is found behind "somebody else".
 * @param {(decision: object) => void} [onDecided]  what comes of it is shown here unless this is given.
 */
export function decisionRow(app, { singer, about, decision, decide, rejects = false, onDecided = null }) {
  const row = el("div", { class: "decision" });

  const save = async (said) => {
    const made = await decide(said);
    announce(
      `Saved. ${decisionParts(made)
        .map((part) => part.textContent ?? part)
        .join("")}.`,
    );
    if (onDecided) onDecided(made);
    else {
      decided(made);
      row.querySelector("button").focus();
    }
  };
  const saveNow = async (said) => {
    row.setAttribute("aria-busy", "true");
    row.querySelectorAll("button").forEach((one) => {
      one.disabled = true;
    });
    row.querySelector(".fault")?.remove();
    try {
      await save(said);
    } catch (error) {
      row.querySelectorAll("button").forEach((one) => {
        one.disabled = false;
      });
      row.append(faultOf(error, () => saveNow(said)));
    } finally {
      row.removeAttribute("aria-busy");
    }
  };

  const who = () =>
    askName(app.api, {
      title: "Who sings here?",
      text: "The name need not be that of an enrolled singer.",
      label: "Singer",
      action: "Save",
      act: (name) => save({ decision: "somebody else", singer: name }),
      others:
        singer === null || rejects
          ? []
          : [{ text: "I do not know", act: () => save({ decision: "reject", singer: null }) }],
    });

  const undecided = () =>
    put(
      row,
      singer === null
        ? null
        : button("Confirm", () => saveNow({ decision: "confirm", singer: null }), {
            kind: "small",
            symbol: "check",
            label: `Confirm that ${about} is ${singer}`,
          }),
      rejects
        ? button("Reject", () => saveNow({ decision: "reject", singer: null }), {
            kind: "small",
            symbol: "cross",
            label: `Reject: ${about} is not ${singer}`,
          })
        : null,
      button(singer === null ? "Say who it is …" : "Somebody else …", who, {
        kind: "small",
        label: `${singer === null ? "Say who" : "Somebody else"}: ${about}`,
      }),
      button("Not sung", () => saveNow({ decision: "not sung", singer: null }), {
        kind: "small",
        label: `Not sung: ${about}`,
      }),
    );
  const decided = (made) =>
    put(
      row,
      el("p", { class: "decided" }, icon("check"), el("span", {}, decisionParts(made))),
      button(
        "Change",
        () => {
          undecided();
          row.querySelector("button").focus();
        },
        { kind: "quiet small", label: `Change what was decided on ${about}` },
      ),
    );

  if (decision) decided(decision);
  else undecided();
  return row;
}

/** A field for the reader's name in the log; nothing where the token says who it is. */
export function whoField(app) {
  if (app.about.needs_token) return null;
  const input = el("input", {
    type: "text",
    value: app.who,
    maxlength: 200,
    autocomplete: "name",
    placeholder: "optional",
    oninput: () => {
      app.who = input.value.trim();
    },
  });
  return el("label", { class: "field inline" }, "Your name, for the log", input);
}

// Questions that are asked before something is done.

import { button, debounced, el, newId } from "./dom.js";
import { faultOf } from "./faults.js";

/**
 * Ask, and do what is answered while the question stays open, so that what goes wrong can be put right.
 * @param {string} title
 * @param {Node[]} body
 * @param {{text: string, kind?: string, act: () => Promise<any>}[]} actions  the first is what Enter does.
 *   An `act` that gives false leaves the question open.
 * @returns {Promise<boolean>} whether something was done.
 */
export function ask(title, body, actions) {
  return new Promise((resolve) => {
    const heading = newId("question");
    const fault = el("div");
    let done = false;
    const dialog = el("dialog", {
      "aria-labelledby": heading,
      onclose: () => {
        dialog.remove();
        resolve(done);
      },
    });
    const run = async (action) => {
      const buttons = [...dialog.querySelectorAll("button")];
      buttons.forEach((one) => {
        one.disabled = true;
      });
      fault.replaceChildren();
      try {
        done = (await action.act()) !== false;
        if (done) dialog.close();
      } catch (error) {
        fault.replaceChildren(faultOf(error));
      } finally {
        buttons.forEach((one) => {
          one.disabled = false;
        });
      }
    };
    const [first, ...others] = actions;
    const form = el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          run(first);
        },
      },
      el("h2", { id: heading }, title),
      body,
      fault,
      el(
        "div",
        { class: "row end" },
        button("Cancel", () => dialog.close(), { kind: "quiet" }),
        others.map((action) => button(action.text, () => run(action), { kind: action.kind ?? "" })),
        el("button", { type: "submit", class: `button ${first.kind ?? "primary"}` }, first.text),
      ),
    );
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input")?.select();
  });
}

/** Ask whether to do what cannot be undone. */
export function confirmed(title, text, action, act) {
  return ask(title, [el("p", {}, text)], [{ text: action, kind: "danger", act }]);
}

/**
 * Ask for a name, with the enrolled ones as suggestions.
 * @param {(name: string) => Promise<any>} act
 */
export function askName(api, { title, text, label, value = "", action, act, others = [] }) {
  const input = nameField(api, { value });
  const fault = el("p", { class: "fault small", role: "alert", hidden: true }, "Give a name.");
  const given = () => {
    fault.hidden = input.value.trim() !== "";
    if (!fault.hidden) input.focus();
    return fault.hidden ? act(input.value.trim()) : false;
  };
  const body = [
    text ? el("p", {}, text) : null,
    el("label", { class: "field" }, label, input),
    input.suggestions,
    fault,
  ];
  return ask(title, body.filter(Boolean), [{ text: action, act: given }, ...others]);
}

/** A field for a singer's name that suggests those who are enrolled; `suggestions` goes into the page beside it. */
export function nameField(api, attributes = {}) {
  const list = el("datalist", { id: newId("names") });
  const suggest = async () => {
    try {
      const { singers } = await api.get("singers", { q: input.value.trim(), limit: 20 });
      list.replaceChildren(...singers.map((singer) => el("option", { value: singer.name })));
    } catch {
      list.replaceChildren(); // a name can be typed as well
    }
  };
  const input = el("input", {
    type: "text",
    autocomplete: "off",
    list: list.id,
    dir: "auto",
    maxlength: 200,
    onfocus: suggest,
    oninput: debounced(suggest),
    ...attributes,
  });
  input.suggestions = list;
  return input;
}

// Who is enrolled: to be looked up, added to, renamed, merged and removed.

import { nameField } from "./dialogs.js";
import { button, debounced, el, icon, put } from "./dom.js";
import { enrol } from "./enrolment.js";
import { fill } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { singerCard } from "./singer.js";
import { counted } from "./words.js";

const A_PAGE = 60;

export function singersView(app, { signal, query }) {
  const keep = el("input", { type: "checkbox" });
  const list = el("ul", { class: "cards plain" });
  const total = el("p", { class: "soft", role: "status" });
  const more = el("div", { class: "row center" });
  const field = el("input", {
    type: "search",
    value: query.get("q") ?? "",
    placeholder: "Search",
    "aria-label": "Search singers",
    dir: "auto",
    oninput: debounced(() => load()),
  });
  let shown = 0;

  const next = async () => {
    const asked = field.value.trim();
    const found = await app.api.get("singers", { q: asked, offset: shown, limit: A_PAGE }, signal);
    shown += found.singers.length;
    total.textContent = found.total || asked ? counted(found.total, "singer") : "";
    put(more, shown < found.total ? button("Show more", async () => list.append(...(await next())), {}) : null);
    return found.singers.map((singer) => singerCard(app, singer, keep, load));
  };
  const load = () => {
    shown = 0;
    return fill(list, async () => {
      const cards = await next();
      return cards.length
        ? cards
        : el(
            "li",
            { class: "empty" },
            icon("people"),
            el("p", {}, field.value ? "No singer has such a name." : "Nobody is enrolled yet."),
          );
    });
  };
  load();

  return [
    el("h1", {}, "Singers"),
    el(
      "p",
      { class: "lead" },
      "Voices are compared with the singers who are enrolled here. Three or more songs of each make answers surer.",
    ),
    app.may("enrol") ? newSinger(app, keep, load) : null,
    el("div", { class: "row toolbar" }, el("div", { class: "grow searching" }, icon("search"), field), total),
    list,
    more,
  ];
}

function newSinger(app, keep, onAdded) {
  const name = nameField(app.api, { required: true });
  const result = el("div");
  const fault = el("p", { class: "fault small", role: "alert", hidden: true }, "Give the singer’s name first.");
  const take = async (files) => {
    fault.hidden = name.value.trim() !== "";
    if (!fault.hidden) {
      name.focus();
      return;
    }
    if (await enrol(app, name.value.trim(), files, keep.checked, result)) onAdded();
  };
  return takesDrops(
    el(
      "section",
      { class: "card new-singer", "aria-labelledby": "new-singer" },
      el("h2", { id: "new-singer" }, "New singer"),
      el(
        "div",
        { class: "row bottom" },
        el("label", { class: "field grow" }, "Name", name),
        name.suggestions,
        fileButton("Choose songs", take, { label: "Choose songs of the new singer" }),
      ),
      fault,
      el(
        "label",
        { class: "check" },
        keep,
        "Keep the sound of songs that are enrolled from here, so that it can be played as evidence",
      ),
      el("p", { class: "soft small" }, "Or drop songs on this card, or on that of a singer."),
      result,
    ),
    take,
  );
}

// The library: every song that was kept, with its answer, to be filtered and opened.

import { verdict } from "./answer.js";
import { chip } from "./chip.js";
import { nameField } from "./dialogs.js";
import { announce, debounced, el, icon, nameOf, put } from "./dom.js";
import { faultOf, fill } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { settled, shareOf } from "./jobs.js";
import { subtabs } from "./tabs.js";
import { clock, counted, outcomeOf } from "./words.js";

const A_PAGE = 50;
const OUTCOMES = ["named", "worth a look", "unknown", "no vocals"];

/** Links between the parts of the library. */
export function libraryTabs(current) {
  return subtabs(
    "Library",
    [
      ["#/library", "Songs"],
      ["#/find", "Find by voice"],
      ["#/groups", "Unnamed"],
    ],
    current,
  );
}

export function libraryView(app, { signal, query }) {
  const list = el("ul", { class: "rows plain" });
  const pages = el("nav", { class: "row center", "aria-label": "Pages" });
  const total = el("p", { class: "soft", role: "status" });
  const text = el("input", { type: "search", value: query.get("q") ?? "", dir: "auto" });
  const singer = nameField(app.api, { value: query.get("singer") ?? "" });
  const outcome = el(
    "select",
    {},
    el("option", { value: "" }, "any"),
    OUTCOMES.map((one) => el("option", { value: one }, one)),
  );
  outcome.value = query.get("outcome") ?? "";

  const address = (offset) => {
    const asked = { q: text.value.trim(), singer: singer.value.trim(), outcome: outcome.value, offset: offset || "" };
    const said = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ""));
    return `#/library${said.size ? `?${said}` : ""}`;
  };
  let offset = Number(query.get("offset")) || 0;
  const filtered = () => {
    offset = 0;
    history.replaceState(null, "", address(0)); // no view of its own: the field keeps the focus
    load();
  };
  const load = () =>
    fill(list, async () => {
      const asked = {
        q: text.value.trim(),
        singer: singer.value.trim(),
        outcome: outcome.value,
        offset,
        limit: A_PAGE,
      };
      const found = await app.api.get("library", asked, signal);
      total.textContent = counted(found.total, "recording");
      put(
        pages,
        found.total > A_PAGE
          ? [
              link("Earlier", offset > 0 ? address(Math.max(0, offset - A_PAGE)) : null),
              el(
                "span",
                { class: "soft" },
                `${offset + 1}–${Math.min(found.total, offset + A_PAGE)} of ${found.total}`,
              ),
              link("Later", offset + A_PAGE < found.total ? address(offset + A_PAGE) : null),
            ]
          : null,
      );
      if (!found.recordings.length)
        return el("li", { class: "empty" }, icon("shelf"), el("p", {}, "No recording is there, or none fits."));
      return found.recordings.map(rowOf);
    });
  for (const field of [text, singer, outcome]) field.addEventListener("input", debounced(filtered));
  load();

  return [
    el("h1", {}, "Library"),
    el("p", { class: "lead" }, "Songs that were listened to once and kept. Whoever is enrolled later is found, too."),
    libraryTabs("#/library"),
    app.may("review") ? adding(app, load) : null,
    el(
      "search",
      { class: "filters" },
      el("label", { class: "field grow" }, "File name", text),
      el("label", { class: "field grow" }, "Singer", singer),
      singer.suggestions,
      el("label", { class: "field" }, "Outcome", outcome),
    ),
    total,
    list,
    pages,
  ];
}

function link(text, href) {
  return href ? el("a", { class: "button small", href }, text) : el("span", { class: "button small off" }, text);
}

function rowOf(recording) {
  const { answer } = recording;
  return el(
    "li",
    {},
    el(
      "a",
      { class: "row-link", href: `#/library/${recording.recording}` },
      el(
        "span",
        { class: "grow" },
        el("span", { class: "row-title" }, nameOf(recording.name)),
        answer
          ? verdict(answer, "span")
          : el("span", { class: "soft small" }, "Nobody is enrolled to compare it with."),
      ),
      answer ? chip(outcomeOf(answer)) : null,
      el("span", { class: "soft small length" }, clock(recording.duration_s)),
    ),
  );
}

function adding(app, onAdded) {
  const result = el("div");
  const take = async (files) => {
    const rows = files.map((file) => el("li", {}, nameOf(file.name), el("span", { class: "soft small" }, "waiting")));
    put(result, el("ul", { class: "plain enrolling" }, rows));
    for (const [place, file] of files.entries()) await addOne(app, file, rows[place]);
    announce(`${counted(files.length, "song")} listened to.`);
    onAdded();
  };
  return takesDrops(
    el(
      "div",
      { class: "drop flat" },
      icon("plus"),
      el("p", { class: "grow" }, "Drop songs here to add them, with their sound."),
      fileButton("Add songs", take, { kind: "", symbol: null }),
      result,
    ),
    take,
  );
}

async function addOne(app, file, row) {
  const measure = el("progress", { "aria-label": `Adding ${file.name}` });
  const show = (share) => (share === null ? measure.removeAttribute("value") : (measure.value = share));
  put(row, nameOf(file.name), measure);
  try {
    const sent = await app.api.upload(
      "library",
      { file, keep_audio: "true" },
      { onSent: (share) => show(share < 1 ? share : null) },
    );
    const { recording, state } = await settled(app.api, sent, { onProgress: (job) => show(shareOf(job)) });
    put(
      row,
      icon("check"),
      el("a", { href: `#/library/${recording}` }, nameOf(file.name)),
      el(
        "span",
        { class: "soft small" },
        { heard: "added", known: "was there already", copy: "is a copy of one that was there" }[state] ?? state,
      ),
    );
  } catch (error) {
    put(
      row,
      nameOf(file.name),
      faultOf(error, () => addOne(app, file, row)),
    );
  }
}

// One enrolled singer as a card.

import { ClipPlayer } from "./clip.js";
import { askName, confirmed } from "./dialogs.js";
import { announce, button, el, nameOf, put } from "./dom.js";
import { enrol } from "./enrolment.js";
import { fill } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { counted, howLong, spanText } from "./words.js";

const MOST_CLIPS = 3; // of a recording

/**
 * @param {{name: string, recordings: number, seconds: number}} singer
 * @param {HTMLInputElement} keep  ticked where the sound of added songs is kept.
 * @param {() => void} onChanged  is called when somebody else is enrolled than before.
 */
export function singerCard(app, singer, keep, onChanged) {
  const { name } = singer;
  const facts = el("p", { class: "soft" });
  const tell = (now) => {
    facts.textContent = `${counted(now.recordings, "recording")} · ${howLong(now.seconds)}`;
  };
  tell(singer);
  const result = el("div");
  const inside = el("div", { class: "inside" });
  const recordings = el(
    "details",
    { ontoggle: () => recordings.open && load() },
    el("summary", { "aria-label": `Recordings of ${name}` }, "Recordings"),
    inside,
  );
  const load = () =>
    fill(inside, async () => {
      const found = await app.api.get("singers/recordings", { name });
      tell({
        recordings: found.recordings.length,
        seconds: found.recordings.reduce((sum, one) => sum + one.seconds, 0),
      });
      return el(
        "ul",
        { class: "plain recordings" },
        found.recordings.map((one) => recordingRow(app, name, one, load, onChanged)),
      );
    });
  const take = async (files) => {
    if (!(await enrol(app, name, files, keep.checked, result))) return;
    recordings.open = true;
    await load();
  };

  const done = (text) => {
    app.refresh();
    announce(text);
    onChanged();
    document.querySelector("h1").focus(); // the card with the button is gone
  };
  const rename = () =>
    askName(app.api, {
      title: "Rename",
      label: "New name",
      value: name,
      action: "Rename",
      act: async (to) => {
        await app.api.post("singers/rename", { name, to });
        done(`${name} is called ${to} now.`);
      },
    });
  const merge = () =>
    askName(app.api, {
      title: "Merge with another name",
      label: "The name that stays",
      action: "Merge",
      text: `All recordings of ${name} go to the other name, and ${name} is gone.`,
      act: async (into) => {
        await app.api.post("singers/merge", { name, into });
        done(`${name} was merged into ${into}.`);
      },
    });
  const remove = () =>
    confirmed(
      "Delete this singer?",
      `${name}, with ${counted(singer.recordings, "recording")}, is removed from the gallery. This cannot be undone.`,
      "Delete",
      async () => {
        await app.api.delete("singers", { name });
        done(`${name} was deleted.`);
      },
    );

  const card = el(
    "li",
    { class: "card singer" },
    el(
      "div",
      { class: "singer-head" },
      el("span", { class: "initial", "aria-hidden": "true" }, initial(name)),
      el("div", { class: "grow" }, el("h2", {}, nameOf(name)), facts),
    ),
    recordings,
    result,
    app.may("enrol")
      ? el(
          "div",
          { class: "row" },
          fileButton("Add songs", take, { kind: "small", label: `Add songs of ${name}`, symbol: "plus" }),
        )
      : null,
    el(
      "div",
      { class: "row actions" },
      el(
        "a",
        {
          class: "button quiet small",
          href: `#/find?${new URLSearchParams({ singer: name })}`,
          "aria-label": `Find ${name} in the library`,
        },
        "Find",
      ),
      app.may("enrol")
        ? [
            button("Rename", rename, { kind: "quiet small", label: `Rename ${name}` }),
            button("Merge", merge, { kind: "quiet small", label: `Merge ${name} with another name` }),
            button("Delete", remove, { kind: "quiet small warn", label: `Delete ${name}` }),
          ]
        : null,
    ),
  );
  return app.may("enrol") ? takesDrops(card, take) : card;
}

function recordingRow(app, name, recording, reload, onChanged) {
  const clips = recording.playable
    ? recording.spans.slice(0, MOST_CLIPS).map(
        (span) =>
          new ClipPlayer({
            load: () => app.api.sound("singers/clip", { name, sha256: recording.sha256, ...span }),
            label: `${name}, a few seconds of ${spanText(span)} of ${recording.source}`,
            text: spanText(span),
          }),
      )
    : el("span", { class: "soft small" }, "Its sound is not here, so that it cannot be played.");
  const remove = () =>
    confirmed(
      "Delete this recording?",
      `${recording.source} is not counted as ${name} any more. This cannot be undone.`,
      "Delete",
      async () => {
        await app.api.delete("singers/recordings", { name, sha256: recording.sha256 });
        announce(`${recording.source} was deleted.`);
        reload().catch(onChanged);
      },
    );
  return el(
    "li",
    {},
    el(
      "div",
      { class: "row" },
      el(
        "div",
        { class: "grow" },
        nameOf(recording.source),
        el("span", { class: "soft small" }, ` · ${howLong(recording.seconds)}`),
      ),
      app.may("enrol")
        ? button("", remove, { kind: "quiet small", symbol: "cross", label: `Delete ${recording.source}` })
        : null,
    ),
    el("div", { class: "row clips" }, clips),
  );
}

function initial(name) {
  const [first] = name.match(/[\p{L}\p{N}]/u) ?? ["?"];
  return first.toUpperCase();
}

// Find by voice: in which songs of the library somebody sings.

import { ClipPlayer } from "./clip.js";
import { nameField } from "./dialogs.js";
import { el, icon, nameOf, put } from "./dom.js";
import { fill } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { settled } from "./jobs.js";
import { libraryTabs } from "./library.js";
import { finePercent, howLong, spanText } from "./words.js";

const MOST_CLIPS = 3; // of a match

export function findView(app, { signal, query }) {
  const result = el("div", { class: "stack", "aria-live": "polite" });
  const asked = { singer: query.get("singer"), recording: query.get("recording"), voice: query.get("voice") };
  const singer = nameField(app.api, { value: asked.singer ?? "", required: true });
  const bySinger = (event) => {
    event.preventDefault();
    location.hash = `#/find?${new URLSearchParams({ singer: singer.value.trim() })}`;
  };
  const byFile = ([file]) => {
    fill(result, async () => {
      put(
        result,
        el(
          "div",
          { class: "card progress" },
          el("span", {}, "Listening …"),
          el("progress", { "aria-label": `Listening to ${file.name}` }),
        ),
      );
      const sent = await app.api.upload("library/search", { file }, { signal });
      return foundView(app, await settled(app.api, sent, { signal }), file.name);
    });
  };
  if (asked.singer || asked.recording) {
    fill(result, async () =>
      foundView(app, await app.api.get("library/search", asked, signal), asked.singer ?? "this voice"),
    );
  }
  return [
    el("h1", {}, "Find by voice"),
    el("p", { class: "lead" }, "In which songs of the library does somebody sing, whether enrolled or not?"),
    libraryTabs("#/find"),
    el(
      "div",
      { class: "slots" },
      el(
        "form",
        { class: "card", onsubmit: bySinger },
        el("h2", {}, "A singer"),
        el("label", { class: "field" }, "Enrolled singer", singer),
        singer.suggestions,
        el(
          "div",
          { class: "row end" },
          el("button", { type: "submit", class: "button primary" }, icon("search"), "Find"),
        ),
      ),
      takesDrops(
        el(
          "section",
          { class: "drop slot", "aria-label": "A clip" },
          el("h2", {}, "A clip"),
          el("p", { class: "soft" }, "Drop a clip or a song here. Each voice in it is looked for."),
          fileButton("Choose a file", byFile, { multiple: false, kind: "", label: "Choose a clip to look for" }),
        ),
        byFile,
      ),
    ),
    asked.recording ? el("p", {}, el("a", { href: `#/library/${asked.recording}` }, "Back to the song")) : null,
    result,
  ];
}

function foundView(app, found, who) {
  const several = found.voices.length > 1;
  const parts = found.voices.map((voice, place) =>
    el(
      "section",
      { class: "card" },
      el("h2", {}, several ? `Voice ${place + 1} of ` : "Songs like ", nameOf(who)),
      voice.seconds === null ? null : el("p", { class: "soft small" }, `${howLong(voice.seconds)} of it were heard`),
      voice.matches.length
        ? el(
            "ol",
            { class: "rows plain" },
            voice.matches.map((match) => matchRow(app, match)),
          )
        : el("p", {}, "No song of the library has a voice like it."),
    ),
  );
  return [
    parts.length ? parts : el("p", { class: "box" }, icon("silent"), "No singing was found in it."),
    el(
      "section",
      { class: "meaning", "aria-label": "What this means" },
      el(
        "p",
        {},
        "Songs come in the order of likeness. The probability is that one singer is heard in both; it grows more " +
          "cautious with the library.",
      ),
      el("p", { class: "notice" }, found.notice),
    ),
  ];
}

function matchRow(app, match) {
  const clips = match.spans.slice(0, MOST_CLIPS).map(
    (span) =>
      new ClipPlayer({
        load: () => app.api.sound(`library/recordings/${match.recording}/clip`, span),
        label: `${match.name}, a few seconds of ${spanText(span)}`,
        text: spanText(span),
      }),
  );
  return el(
    "li",
    { class: "match" },
    el(
      "div",
      { class: "row" },
      el("a", { class: "grow row-title", href: `#/library/${match.recording}` }, nameOf(match.name)),
      match.enrolled ? el("span", { class: "tag" }, icon("people"), "enrolled itself") : null,
      el(
        "span",
        { class: "number" },
        finePercent(match.probability),
        el("span", { class: "soft small" }, ` · score ${match.score.toFixed(2)}`),
      ),
    ),
    el("div", { class: "row clips" }, clips),
  );
}

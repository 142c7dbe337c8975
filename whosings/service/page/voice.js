// One voice of a song: who it is said to be, where it is heard, and what speaks for it.

import { chip } from "./chip.js";
import { ClipPlayer } from "./clip.js";
import { el, icon, nameOf } from "./dom.js";
import { spanButton } from "./player.js";
import { counted, howLong, percent, spanText } from "./words.js";

const MOST_SPANS = 12; // that are shown before somebody asks for all

/** @returns {HTMLLIElement} */
export function voiceCard(app, { voice, label, colour, alone, duration_s, player, proof, decision, more }) {
  const who = voice.singer === null ? label : nameOf(label);
  const under = voice.together ? ", under another voice" : "";
  return el(
    "li",
    { class: "voice", "--voice": colour },
    el(
      "div",
      { class: "voice-head" },
      el("span", { class: "swatch", "aria-hidden": "true" }),
      el("h5", {}, voice.outcome === "worth a look" ? "perhaps " : "", who),
      chip(voice.outcome),
      el("span", { class: "soft" }, `${percent(voice.probability)} · ${howLong(voice.seconds)} sung${under}`),
    ),
    alone ? null : lane(voice.spans, duration_s),
    spanList(voice.spans, player, label),
    voice.namesakes.length
      ? el(
          "p",
          { class: "small" },
          "Other enrolled names that are likely the same singer’s: ",
          voice.namesakes.map((name, place) => [place ? ", " : "", nameOf(name)]),
          ".",
        )
      : null,
    proof ? proofOf(app, proof, voice, player) : null,
    decision,
    more,
  );
}

/** Where a voice is heard, as a strip as long as the song. */
export function lane(spans, duration_s) {
  const parts = spans.map((span) =>
    el("span", {
      "--from": `${(100 * span.start_s) / duration_s}%`,
      "--wide": `${(100 * (span.stop_s - span.start_s)) / duration_s}%`,
    }),
  );
  return el("div", { class: "lane", "aria-hidden": "true" }, parts);
}

/** A button for each span, which plays it. */
export function spanList(spans, player, label) {
  const items = spans.map((span, place) =>
    el("li", { hidden: place >= MOST_SPANS }, spanButton(player, span, label)),
  );
  const list = el("ul", { class: "spans plain", "aria-label": `Where ${label} is heard` }, items);
  if (spans.length > MOST_SPANS) {
    const all = el(
      "button",
      {
        type: "button",
        class: "button quiet small",
        onclick: () => {
          items.forEach((item) => {
            item.hidden = false;
          });
          all.parentNode.remove();
          items[MOST_SPANS].querySelector("button").focus();
        },
      },
      `${spans.length - MOST_SPANS} more`,
    );
    list.append(el("li", {}, all));
  }
  return list;
}

function proofOf(app, proof, voice, player) {
  const pairs = proof.matches.map((match) => pair(app, proof, match, player));
  const [first, ...others] = pairs;
  const rival = proof.runner_up;
  return el(
    "div",
    { class: "proof" },
    el("h6", {}, "Compare by ear"),
    first ?? el("p", { class: "soft" }, "There is no passage to compare it with."),
    others.length ? el("details", {}, el("summary", {}, counted(others.length, "more passage")), others) : null,
    rival
      ? el(
          "p",
          { class: "small" },
          nameOf(proof.singer),
          ` is ${rival.words} `,
          nameOf(rival.singer),
          `, the runner-up (scores ${proof.score.toFixed(2)} and ${rival.score.toFixed(2)}).`,
        )
      : null,
    el(
      "p",
      { class: "small soft" },
      `Enrolled with ${counted(proof.recordings, "recording")}, ${howLong(proof.enrolled_s)} of singing.`,
    ),
    proof.caveats.length
      ? el(
          "div",
          { class: "caveats" },
          icon("warn"),
          el(
            "div",
            {},
            el("p", {}, "What would change the answer, or speaks against it:"),
            el(
              "ul",
              {},
              proof.caveats.map((text) => el("li", { dir: "auto" }, text)),
            ),
          ),
        )
      : null,
  );
}

/** A passage of this song beside the enrolled one that is most like it. */
function pair(app, proof, match, player) {
  const query = { name: proof.singer, sha256: match.sha256, ...match.enrolled };
  const clip = new ClipPlayer({
    load: () => app.api.sound("singers/clip", query),
    label: `the enrolled passage of ${proof.singer}, ${spanText(match.enrolled)} of ${match.source}`,
    text: spanText(match.enrolled),
  });
  return el(
    "div",
    { class: "pair" },
    el(
      "div",
      { class: "side" },
      el("span", { class: "side-title" }, "In this song"),
      spanButton(player, match.heard, "the passage in this song"),
    ),
    el("div", { class: "side" }, el("span", { class: "side-title" }, nameOf(proof.singer), ", enrolled"), clip),
    el(
      "p",
      { class: "small soft pair-note" },
      `Similarity ${match.cosine.toFixed(2)} of the two passages, `,
      `${match.recording_cosine.toFixed(2)} of the whole voice and `,
      nameOf(match.source),
      ".",
    ),
  );
}

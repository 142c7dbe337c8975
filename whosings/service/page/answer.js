// An answer for people: the verdict, the song with its voices, who came near, and what all of it means.

import { chip } from "./chip.js";
import { el, nameOf, newId } from "./dom.js";
import { voiceCard } from "./voice.js";
import { coloursOf, labelsOf } from "./voices.js";
import { finePercent, meaning, opinionSentence, outcomeOf, percent, termsSentence, verdictParts } from "./words.js";

/** The verdict, in the words of the command line. */
export function verdict(answer, level = "p") {
  return el(
    level,
    { class: "verdict" },
    verdictParts(answer).map((part) => (part.name === undefined ? part : nameOf(part.name))),
  );
}

/**
 * All of an answer.
 * @param {object} app
 * @param {object} answer
 * @param {import("./player.js").SongPlayer} player
 * @param {object|null} evidence  as of the service; null where there is none.
 * @param {Node|null} before  what is said before the voices.
 * @param {(place: number) => Node|null} decisionOf  the buttons of a voice.
 * @param {(place: number) => Node|null} moreOf  what else can be done with a voice.
 */
export function answerView(
  app,
  { answer, player, evidence = null, before = null, decisionOf = () => null, moreOf = () => null },
) {
  const labels = labelsOf(answer.voices);
  const colours = coloursOf(answer.voices);
  const proofs = [...(evidence?.voices ?? [])]; // in the order of the voices that have a singer
  const cards = answer.voices.map((voice, place) =>
    voiceCard(app, {
      voice,
      label: labels[place],
      colour: colours[place],
      alone: answer.voices.length === 1,
      duration_s: answer.duration_s,
      player,
      proof: voice.singer === null ? null : (proofs.shift() ?? null),
      decision: decisionOf(place),
      more: moreOf(place),
    }),
  );
  return el(
    "div",
    { class: "answer" },
    el("div", { class: "said" }, chip(outcomeOf(answer)), verdict(answer, "h3")),
    player,
    cards.length ? el("h4", { class: "section" }, cards.length === 1 ? "The voice" : "The voices") : null,
    cards.length ? before : null,
    cards.length ? el("ul", { class: "voices plain" }, cards) : null,
    candidates(answer),
    meaningOf(answer),
  );
}

/** What an answer is worth; it stands under every one. */
export function meaningOf(answer) {
  const opinion = opinionSentence(answer.opinion);
  return el(
    "section",
    { class: "meaning", "aria-label": "What this answer means" },
    el("h4", {}, "What this answer means"),
    el("p", {}, meaning(answer)),
    answer.short
      ? el("p", {}, "The recording is shorter than one segment; a longer one may give another answer.")
      : null,
    opinion ? el("p", {}, opinion, " ", el("span", { class: "soft" }, answer.opinion.caution)) : null,
    el("p", { class: "terms" }, termsSentence(answer.terms)),
    el("p", { class: "notice" }, answer.notice),
  );
}

function candidates(answer) {
  if (!answer.top.length) return null;
  const id = newId("candidates");
  const rows = answer.top.map((one) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, nameOf(one.singer), el("span", { class: "bar", "--share": one.probability })),
      el("td", {}, finePercent(one.probability)),
      el("td", { class: "score" }, one.score.toFixed(2)),
      el("td", {}, percent(one.share)),
    ),
  );
  return el(
    "section",
    { "aria-labelledby": id },
    el("h4", { class: "section", id }, "Nearest enrolled singers"),
    el(
      "table",
      { class: "candidates", "aria-labelledby": id },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ["Singer", "Probability", "Score", "Share"].map((text) =>
            el("th", { scope: "col", class: text.toLowerCase() }, text),
          ),
        ),
      ),
      el("tbody", {}, rows),
    ),
  );
}

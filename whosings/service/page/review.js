// What is worth a person's look, one voice after the other, and what was decided so far.

import { chip } from "./chip.js";
import { ClipPlayer } from "./clip.js";
import { decisionParts, decisionRow, whoField } from "./decisions.js";
import { button, el, icon, nameOf, put } from "./dom.js";
import { faultOf, fill } from "./faults.js";
import { decide } from "./keeping.js";
import { subtabs } from "./tabs.js";
import { counted, howLong, moment, percent, spanText, termsSentence } from "./words.js";

const A_PAGE = 50;
const MOST_CLIPS = 6; // of a voice

function tabs(current) {
  return subtabs(
    "Review",
    [
      ["#/review", "To decide"],
      ["#/review/history", "History"],
    ],
    current,
  );
}

export function reviewView(app, { signal }) {
  const list = el("ul", { class: "plain queue" });
  const more = el("div", { class: "row center" });
  const total = el("p", { class: "soft", role: "status" });
  let left = 0;
  const tell = () => {
    total.textContent = left ? `${counted(left, "voice")} to decide` : "";
  };
  const empty = () => el("li", { class: "empty" }, icon("check"), el("p", {}, "Nothing is waiting for a decision."));

  const onDecided = (card, made, item) => {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    left -= 1;
    tell();
    const line = el(
      "li",
      { class: "decided-line" },
      icon("check"),
      el("span", {}, decisionParts(made), " · "),
      el("a", { href: `#/library/${item.recording}` }, nameOf(item.name)),
    );
    card.replaceWith(line);
    (next?.querySelector("button, a") ?? document.querySelector("h1")).focus();
    if (!left) list.append(empty());
  };
  const next = async (offset) => {
    const found = await app.api.get("review", { offset, limit: A_PAGE }, signal);
    left = found.total;
    tell();
    const cards = found.items.map((item) => reviewCard(app, item, onDecided));
    const undecided = () => list.querySelectorAll(".review").length;
    put(
      more,
      offset + cards.length < found.total
        ? button("Show more", async () => list.append(...(await next(undecided()))))
        : null,
    );
    return cards;
  };
  fill(list, async () => {
    const cards = await next(0);
    return cards.length ? cards : empty();
  });
  return [
    el("h1", {}, "Review"),
    el(
      "p",
      { class: "lead" },
      "Voices that may be an enrolled singer’s, where the answer alone does not suffice. Listen, then decide.",
    ),
    tabs("#/review"),
    el(
      "div",
      { class: "row toolbar" },
      total,
      el("span", { class: "grow" }),
      app.may("review") ? whoField(app) : null,
    ),
    list,
    more,
  ];
}

function reviewCard(app, item, onDecided) {
  const { said } = item;
  const clips = item.spans.slice(0, MOST_CLIPS).map(
    (span) =>
      new ClipPlayer({
        load: () =>
          app.api.sound(`library/recordings/${item.recording}/clip`, { start_s: span.start_s, stop_s: span.stop_s }),
        label: `${item.name}, a few seconds of ${spanText(span)}`,
        text: spanText(span),
      }),
  );
  const card = el(
    "li",
    { class: "card review" },
    el(
      "div",
      { class: "said" },
      chip(said.outcome),
      el("h2", { class: "verdict" }, nameOf(item.why), ` (${percent(said.probability)})`),
    ),
    el(
      "p",
      { class: "soft" },
      "In ",
      el("a", { href: `#/library/${item.recording}` }, nameOf(item.name)),
      `, ${howLong(item.seconds)} of this voice. `,
      said.runner_up ? ["Next comes ", nameOf(said.runner_up), "."] : null,
    ),
    el(
      "div",
      { class: "pair" },
      el(
        "div",
        { class: "side" },
        el("span", { class: "side-title" }, "In this song"),
        item.playable
          ? el("div", { class: "row clips" }, clips)
          : el("p", { class: "soft small" }, "Its sound is not kept here."),
      ),
      el(
        "div",
        { class: "side" },
        el("span", { class: "side-title" }, nameOf(said.singer), ", enrolled"),
        enrolledClips(app, said.singer),
      ),
    ),
    el("p", { class: "small soft terms" }, termsSentence(said.terms)),
  );
  if (app.may("review"))
    card.append(
      decisionRow(app, {
        singer: said.singer,
        about: `the voice in ${item.name}`,
        decision: item.decided,
        rejects: true,
        decide: (decision) => decide(app, item.recording, item.voice, decision),
        onDecided: (made) => onDecided(card, made, item),
      }),
    );
  return card;
}

/** Passages of an enrolled singer, looked up when somebody wants to hear them. */
function enrolledClips(app, name) {
  const place = el("div", { class: "row clips" });
  const load = async () => {
    try {
      const { recordings } = await app.api.get("singers/recordings", { name });
      const heard = recordings.filter((one) => one.playable && one.spans.length).slice(0, MOST_CLIPS);
      const clips = heard.map(
        (one) =>
          new ClipPlayer({
            load: () => app.api.sound("singers/clip", { name, sha256: one.sha256, ...one.spans[0] }),
            label: `${name}, a few seconds of ${one.source}`,
            text: one.source.length > 24 ? `${one.source.slice(0, 23)}…` : one.source,
          }),
      );
      put(
        place,
        clips.length ? clips : el("p", { class: "soft small" }, "No enrolled sound of this singer is kept here."),
      );
      place.querySelector("button")?.focus();
    } catch (error) {
      put(place, faultOf(error, load));
    }
  };
  return put(
    place,
    button("Compare with enrolled songs", load, {
      kind: "quiet small",
      symbol: "look",
      label: `Compare with enrolled songs of ${name}`,
    }),
  );
}

export function historyView(app, { signal }) {
  const place = el("div");
  fill(place, async () => {
    const { decisions } = await app.api.get("review/log", {}, signal);
    if (!decisions.length) return el("p", { class: "empty" }, icon("tick"), "Nothing was decided yet.");
    return el("ol", { class: "rows plain history" }, [...decisions].reverse().map(historyRow));
  });
  return [
    el("h1", {}, "History"),
    el(
      "p",
      { class: "lead" },
      "Every decision with what the model said by then, the latest first. The log only grows.",
    ),
    tabs("#/review/history"),
    place,
  ];
}

function historyRow(decision) {
  const { said } = decision;
  return el(
    "li",
    {},
    el(
      "div",
      { class: "grow" },
      el("span", { class: "row-title" }, decisionParts(decision)),
      el(
        "span",
        { class: "soft small" },
        nameOf(decision.path),
        said?.singer
          ? [
              " · the model said ",
              nameOf(said.singer),
              said.probability === undefined ? "" : `, ${percent(said.probability)}`,
            ]
          : null,
      ),
    ),
    el(
      "span",
      { class: "soft small who" },
      nameOf(decision.who),
      el("br"),
      el("time", { datetime: decision.decided_at }, moment(decision.decided_at)),
    ),
  );
}

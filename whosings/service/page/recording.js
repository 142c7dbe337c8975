// One recording of the library: its sound, its voices, what was decided on them.

import { answerView } from "./answer.js";
import { decisionRow, whoField } from "./decisions.js";
import { confirmed } from "./dialogs.js";
import { announce, button, el, icon, nameOf } from "./dom.js";
import { fill } from "./faults.js";
import { decide } from "./keeping.js";
import { SongPlayer } from "./player.js";
import { labelsOf, matchVoices } from "./voices.js";
import { spanList } from "./voice.js";
import { clock, howLong } from "./words.js";

const SILENCE = "The sound of this recording is not kept here.";

export function recordingView(app, { signal, parts: [id] }) {
  const place = el("div", { class: "stack" });
  fill(place, async () => {
    const recording = await app.api.get(`library/recordings/${id}`, {}, signal);
    document.title = `${recording.name} · whosings`;
    const source = await soundOf(app, recording, signal);
    return [
      head(app, recording),
      el(
        "div",
        { class: "card" },
        recording.answer ? answered(app, recording, source) : unanswered(recording, source),
      ),
    ];
  });
  return [el("p", {}, el("a", { class: "back", href: "#/library" }, "← Library")), place];
}

/** Where the sound is; with a token it is fetched, because players cannot send one. */
async function soundOf(app, recording, signal) {
  if (!recording.playable) return null;
  const path = `library/recordings/${recording.recording}/audio`;
  return app.api.token ? app.api.sound(path, {}, signal) : app.api.address(path);
}

function head(app, recording) {
  const remove = () =>
    confirmed(
      "Delete this recording?",
      `${recording.name} is removed from the library, with its sound. Decisions on it stay in the log.`,
      "Delete",
      async () => {
        await app.api.delete(`library/recordings/${recording.recording}`);
        announce(`${recording.name} was deleted.`);
        location.hash = "#/library";
      },
    );
  return el(
    "div",
    { class: "row head" },
    el(
      "div",
      { class: "grow" },
      el("h1", {}, nameOf(recording.name)),
      el("p", { class: "soft" }, `${clock(recording.duration_s)} · ${howLong(recording.vocal_s)} of singing found`),
    ),
    app.may("review")
      ? button("Delete", remove, { kind: "quiet small warn", label: `Delete ${recording.name}` })
      : null,
  );
}

function answered(app, recording, source) {
  const { answer, voices } = recording;
  const numbers = matchVoices(answer.voices, voices);
  const labels = labelsOf(answer.voices);
  const player = new SongPlayer({
    source,
    silence: SILENCE,
    duration_s: recording.duration_s,
    voices: answer.voices,
    name: recording.name,
  });
  const kept = (place) => voices.find((voice) => voice.voice === numbers[place]);
  return answerView(app, {
    answer,
    player,
    before: app.may("review") ? whoField(app) : null,
    decisionOf: (place) =>
      kept(place) && app.may("review")
        ? decisionRow(app, {
            singer: answer.voices[place].singer,
            about: `the voice of ${labels[place]}`,
            decision: kept(place).decision,
            decide: (said) => decide(app, recording.recording, numbers[place], said),
          })
        : null,
    moreOf: (place) => (kept(place) ? findLink(recording.recording, numbers[place], labels[place]) : null),
  });
}

/** While nobody is enrolled there is no answer, and yet there are voices. */
function unanswered(recording, source) {
  const voices = recording.voices.map((voice) => ({ ...voice, singer: null }));
  const labels = labelsOf(voices);
  const player = new SongPlayer({
    source,
    silence: SILENCE,
    duration_s: recording.duration_s,
    voices,
    name: recording.name,
  });
  return el(
    "div",
    { class: "answer" },
    el(
      "p",
      { class: "box" },
      icon("people"),
      el(
        "span",
        {},
        "Nobody is enrolled to compare the voices with. ",
        el("a", { href: "#/singers" }, "Enrol a singer"),
        ".",
      ),
    ),
    player,
    el(
      "ul",
      { class: "voices plain" },
      recording.voices.map((voice, place) =>
        el(
          "li",
          { class: "voice", "--voice": "#6b7280" },
          el(
            "div",
            { class: "voice-head" },
            el("span", { class: "swatch", "aria-hidden": "true" }),
            el("h2", {}, labels[place]),
            el("span", { class: "soft" }, `${howLong(voice.seconds)} sung`),
          ),
          spanList(voice.spans, player, labels[place]),
          findLink(recording.recording, voice.voice, labels[place]),
        ),
      ),
    ),
  );
}

function findLink(recording, voice, label) {
  const query = new URLSearchParams({ recording, voice });
  return el(
    "p",
    { class: "more" },
    el(
      "a",
      {
        class: "button quiet small",
        href: `#/find?${query}`,
        "aria-label": `Find the voice of ${label} in other songs`,
      },
      icon("search"),
      "Find this voice in other songs",
    ),
  );
}

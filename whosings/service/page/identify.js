// Who sings a song: songs are dropped, listened to one after the other, and answered.

import { answerView, verdict } from "./answer.js";
import { chip } from "./chip.js";
import { decisionRow, whoField } from "./decisions.js";
import { announce, button, el, icon, nameOf, newId, put } from "./dom.js";
import { faultOf } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { decideOnSong } from "./keeping.js";
import { SongPlayer } from "./player.js";
import { subtabs } from "./tabs.js";
import { labelsOf } from "./voices.js";
import { clock, howLong, outcomeOf, verdictLine } from "./words.js";

export function identifyView(app, { signal }) {
  const { songs } = app;
  const cards = new Map();
  const list = el("div", { class: "songs" });
  const zone = dropZone(songs);

  const cardOf = (song) => {
    if (!cards.has(song)) cards.set(song, new SongCard(app, song));
    return cards.get(song);
  };
  const showList = () => {
    for (const song of cards.keys())
      if (!songs.list.includes(song)) {
        cards.get(song).element.remove();
        cards.delete(song);
      }
    for (const song of songs.list) if (!cards.has(song)) list.append(cardOf(song).element);
    zone.classList.toggle("flat", songs.list.length > 0);
  };
  songs.addEventListener(
    "change",
    ({ detail: song }) => {
      if (song) cardOf(song).show();
      else showList();
    },
    { signal },
  );
  showList();
  const opened = songs.list.find((song) => song.state === "done");
  if (opened) cardOf(opened).open(true);

  return [
    el("h1", {}, "Who sings?"),
    el("p", { class: "lead" }, "Give a song. Each voice in it is compared with the singers who are enrolled here."),
    subtabs(
      "Identify",
      [
        ["#/identify", "Who sings?"],
        ["#/verify", "Compare two songs"],
      ],
      "#/identify",
    ),
    nobodyYet(app),
    zone,
    list,
  ];
}

function dropZone(songs) {
  const zone = el(
    "div",
    { class: "drop" },
    el("span", { class: "drop-sign" }, icon("wave")),
    el("p", { class: "drop-title" }, "Drop songs here"),
    fileButton("Choose files", (files) => songs.add(files)),
    el(
      "p",
      { class: "soft small drop-note" },
      "They are sent to this server and listened to there. Their sound is not kept unless you decide on a voice.",
    ),
  );
  return takesDrops(zone, (files) => songs.add(files));
}

function nobodyYet(app) {
  if (app.about.singers !== 0) return null;
  return el(
    "p",
    { class: "box" },
    icon("people"),
    el(
      "span",
      {},
      "Nobody is enrolled here yet. ",
      el("a", { href: "#/singers" }, "Enrol a singer"),
      " with a few songs first; every answer comes from comparing with them.",
    ),
  );
}

/** A song of the list: its progress, then its answer. */
class SongCard {
  constructor(app, song) {
    Object.assign(this, { app, song, opened: false, keepSound: true });
    this.title = newId("song");
    this.body = el("div", { class: "song-body" });
    this.head = el("div", { class: "song-head" });
    this.element = el("section", { class: "card song", "aria-labelledby": this.title }, this.head, this.body);
    this.show();
  }

  show() {
    const { song } = this;
    if (this.shown === song.state && (song.state === "sending" || song.state === "listening")) {
      this.progress();
      return;
    }
    const before = this.shown;
    this.shown = song.state;
    if (song.state === "done") {
      if (before && before !== "done") announce(`${song.name}: ${verdictLine(song.answer)}`);
      const others = this.app.songs.list.some((one) => one !== song && one.state === "done");
      this.open(!others || this.opened);
    } else {
      this.headline(
        [],
        button(song.state === "failed" ? "Remove" : "Cancel", () => this.remove(), {
          kind: "quiet small",
          label: `${song.state === "failed" ? "Remove" : "Cancel"} ${song.name}`,
        }),
      );
      put(this.body, song.state === "failed" ? faultOf(song.error, () => this.app.songs.again(song)) : this.bar());
      this.progress();
    }
  }

  /** Show all of the answer, or its line only. */
  open(opened) {
    const { song } = this;
    this.opened = opened;
    const others = this.app.songs.list.length > 1;
    const toggle = button(
      opened ? "Hide" : "Show",
      () => {
        this.open(!this.opened);
        this.head.querySelector("button").focus();
      },
      {
        kind: "small",
        label: `${opened ? "Hide" : "Show"} the answer for ${song.name}`,
        "aria-expanded": String(opened),
      },
    );
    const sung = `${clock(song.answer.duration_s)} · ${howLong(song.answer.vocal_s)} of singing found`;
    this.headline(
      [
        el("span", { class: "soft small" }, sung),
        opened ? null : el("div", { class: "said brief" }, chip(outcomeOf(song.answer)), verdict(song.answer)),
      ],
      others ? toggle : null,
      button("Remove", () => this.remove(), { kind: "quiet small", label: `Remove ${song.name}` }),
    );
    put(this.body, opened ? this.answer() : null);
  }

  headline(details, ...buttons) {
    put(
      this.head,
      el("div", { class: "grow" }, el("h2", { id: this.title }, nameOf(this.song.name)), details),
      el("div", { class: "row" }, buttons),
    );
  }

  bar() {
    this.stage = el("span", {});
    this.measure = el("progress", { max: 1, "aria-labelledby": this.title });
    return el("div", { class: "progress" }, this.stage, this.measure);
  }

  progress() {
    const { song } = this;
    if (song.state === "failed") return;
    if (this.said !== song.stage) announce(`${song.name}: ${song.stage}`);
    this.said = song.stage;
    this.stage.textContent =
      song.share === null ? `${song.stage} …` : `${song.stage} … ${Math.floor(100 * song.share)}%`;
    if (song.share === null) this.measure.removeAttribute("value");
    else this.measure.value = song.share;
  }

  remove() {
    const next = this.element.nextElementSibling ?? document.querySelector("h1");
    this.app.songs.remove(this.song);
    (next.querySelector("button") ?? next).focus();
  }

  answer() {
    const { app, song } = this;
    const player = new SongPlayer({
      source: song.file,
      silence: "The page was loaded anew and has not got the file any more.",
      duration_s: song.answer.duration_s,
      voices: song.answer.voices,
      name: song.name,
    });
    const labels = labelsOf(song.answer.voices);
    const decisionOf = (place) =>
      app.may("review")
        ? decisionRow(app, {
            singer: song.answer.voices[place].singer,
            about: `the voice of ${labels[place]}`,
            decision: song.kept?.decisions[place] ?? null,
            decide: async (said) => {
              const decision = await decideOnSong(app, song, place, said, this.keepSound);
              put(before, this.terms());
              return decision;
            },
          })
        : null;
    const before = el("div", { class: "before" }, this.terms());
    const view = answerView(app, { answer: song.answer, evidence: song.evidence, player, before, decisionOf });
    if (!song.file) view.prepend(this.chooseAgain());
    return view;
  }

  /** What a decision does, before it is made. */
  terms() {
    const { app, song } = this;
    if (!app.may("review")) return null;
    const keep = el("input", {
      type: "checkbox",
      checked: this.keepSound,
      onchange: () => {
        this.keepSound = keep.checked;
      },
    });
    return [
      el(
        "p",
        {},
        song.kept
          ? ["This song is in ", el("a", { href: `#/library/${song.kept.recording}` }, "the library"), "."]
          : "A decision keeps this song in the library of this server, where others can look it up.",
      ),
      el(
        "div",
        { class: "row" },
        song.kept ? null : el("label", { class: "check" }, keep, "Keep its sound, too"),
        whoField(app),
      ),
    ];
  }

  chooseAgain() {
    const choose = (files) => {
      [this.song.file] = files;
      this.open(true);
    };
    return el(
      "div",
      { class: "box" },
      icon("warn"),
      el("p", { class: "grow" }, "To hear the song, and to decide on its voices, choose the file again."),
      fileButton("Choose the file", choose, {
        multiple: false,
        kind: "small",
        label: `Choose ${this.song.name} again`,
      }),
    );
  }
}

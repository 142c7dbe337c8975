// A song to look at and to hear: its waveform with the voices as coloured spans, and controls for any input device.

import { button, el, icon } from "./dom.js";
import RegionsPlugin from "./vendor/regions.esm.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";
import { coloursOf, labelsOf } from "./voices.js";
import { clock, spanText } from "./words.js";

const LONGEST_DRAWN_S = 12 * 60; // a browser needs a quarter of a gigabyte to decode as much
const ZOOM_FROM_S = 90;
const DARK = "(prefers-color-scheme: dark)";

/** Where one sound begins, all others of the page stop. */
export function oneSoundAtATime() {
  document.addEventListener(
    "play",
    (event) => {
      for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
    },
    true,
  ); // these events do not bubble
}

/** Fires "state" whenever it begins or ceases to play; `playing` is the span that is heard, or "all", or null. */
export class SongPlayer extends HTMLElement {
  /**
   * @param {Blob|string|null} source  the sound, or its address; null where there is none.
   * @param {string} silence  why there is none, in a sentence.
   * @param {{spans, singer}[]} voices  to be shown as coloured spans.
   */
  constructor({ source, silence = "", duration_s, voices, name }) {
    super();
    Object.assign(this, { source, silence, duration_s, voices, name, playing: null });
  }

  connectedCallback() {
    this.audio = el("audio", { preload: "metadata", hidden: true });
    this.wave = el("div", { class: "wave" });
    this.note = el("p", { class: "soft small", hidden: true });
    this.toggle = button("Play", () => this.playOrPause(), { kind: "primary play-all", symbol: "play" });
    this.seek = el("input", {
      type: "range",
      class: "seek",
      min: 0,
      max: this.duration_s,
      step: 0.1,
      value: 0,
      "aria-label": `Position in ${this.name}`,
      oninput: () => {
        this.audio.currentTime = Number(this.seek.value);
      },
    });
    this.time = el("span", { class: "time" });
    this.replaceChildren(
      this.wave,
      el("div", { class: "controls" }, this.toggle, this.seek, this.time),
      this.note,
      this.audio,
    );
    for (const kind of ["play", "pause", "ended"]) this.audio.addEventListener(kind, () => this.changed());
    this.audio.addEventListener("timeupdate", () => this.moved());
    this.audio.addEventListener("error", () => this.silent("This browser cannot play this kind of file."));
    this.scheme = matchMedia(DARK);
    this.recolour = () => this.surfer.setOptions(waveColours(this));
    this.scheme.addEventListener("change", this.recolour);
    this.fill();
    this.moved();
  }

  disconnectedCallback() {
    this.scheme.removeEventListener("change", this.recolour);
    this.surfer.destroy();
    this.audio.removeAttribute("src");
    if (this.made) URL.revokeObjectURL(this.made);
  }

  /** Play one passage, or stop it where it is what is heard. */
  playSpan(span) {
    if (this.playing === span) {
      this.audio.pause();
      return;
    }
    this.next = span;
    this.surfer.play(span.start_s, span.stop_s).catch(() => {}); // what cannot be played fires "error"
    if (!this.audio.paused) this.changed();
  }

  playOrPause() {
    if (!this.audio.paused) {
      this.audio.pause();
      return;
    }
    this.next = "all";
    this.surfer.play().catch(() => {});
  }

  fill() {
    const sound = this.source !== null;
    if (this.source instanceof Blob) this.made = URL.createObjectURL(this.source);
    if (sound) this.audio.src = this.made ?? this.source;
    const drawn = sound && this.duration_s <= LONGEST_DRAWN_S;
    const regions = RegionsPlugin.create();
    this.surfer = WaveSurfer.create({
      container: this.wave,
      media: this.audio,
      height: 104,
      barWidth: 2,
      barGap: 1,
      barRadius: 2,
      normalize: true,
      cursorWidth: 2,
      dragToSeek: true,
      plugins: [regions],
      ...waveColours(this),
      ...(drawn ? {} : this.flat()),
    });
    this.surfer.once("ready", () => this.spans(regions));
    this.surfer.on("error", () => this.surfer.load("", this.flat().peaks, this.duration_s).catch(() => {}));
    this.surfer.on("interaction", () => {
      if (this.audio.paused) this.next = "all";
    });
    if (!sound) this.silent(this.silence);
    else if (!drawn) this.say("The sound of long recordings is played and not drawn.");
    else if (this.duration_s > ZOOM_FROM_S) this.addZoom();
  }

  flat() {
    return { peaks: [new Float32Array([0, 0])], duration: this.duration_s };
  }

  spans(regions) {
    const colours = coloursOf(this.voices);
    const labels = labelsOf(this.voices);
    this.voices.forEach((voice, place) => {
      for (const span of voice.spans) {
        const label = el("span", { dir: "auto", title: `${labels[place]}, ${spanText(span)}` }, labels[place]);
        const region = regions.addRegion({
          start: span.start_s,
          end: span.stop_s,
          drag: false,
          resize: false,
          content: label,
          color: `color-mix(in srgb, ${colours[place]} 30%, transparent)`,
        });
        region.element.style.setProperty("border-top", `5px solid ${colours[place]}`);
        region.on("click", (event) => {
          event.stopPropagation();
          this.playSpan(span);
        });
      }
    });
  }

  addZoom() {
    const zoom = el("input", {
      type: "range",
      class: "zoom",
      min: 0,
      max: 60,
      value: 0,
      "aria-label": "Zoom of the waveform",
      oninput: () => this.surfer.zoom(Number(zoom.value)),
    });
    this.querySelector(".controls").append(el("span", { class: "zooming" }, icon("search"), zoom));
  }

  changed() {
    this.playing = this.audio.paused ? null : (this.next ?? "all");
    const on = this.playing !== null;
    this.toggle.replaceChildren(icon(on ? "pause" : "play"), el("span", {}, on ? "Pause" : "Play"));
    this.dispatchEvent(new CustomEvent("state"));
  }

  moved() {
    const now = this.audio.currentTime;
    this.seek.value = now;
    this.time.textContent = `${clock(now)} / ${clock(this.duration_s)}`;
    this.seek.setAttribute("aria-valuetext", `${clock(now)} of ${clock(this.duration_s)}`);
  }

  silent(why) {
    this.toggle.disabled = this.seek.disabled = this.mute = true;
    this.say(why);
    this.dispatchEvent(new CustomEvent("state"));
  }

  say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }
}

customElements.define("song-player", SongPlayer);

/** A button that plays one passage of a player's song. */
export function spanButton(player, span, who, text = spanText(span)) {
  const symbol = el("span", { class: "symbol" }, icon("play"));
  const made = el(
    "button",
    { type: "button", class: "button chip", onclick: () => player.playSpan(span) },
    symbol,
    text,
  );
  const show = () => {
    const on = player.playing === span;
    made.classList.toggle("playing", on);
    made.disabled = Boolean(player.mute);
    made.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${who}, ${spanText(span)}`);
    symbol.replaceChildren(icon(on ? "pause" : "play"));
  };
  player.addEventListener("state", show);
  show();
  return made;
}

function waveColours(element) {
  const style = getComputedStyle(element);
  return {
    waveColor: style.getPropertyValue("--wave").trim(),
    progressColor: style.getPropertyValue("--wave-heard").trim(),
    cursorColor: style.getPropertyValue("--ink").trim(),
  };
}

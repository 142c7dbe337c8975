// A few seconds from the server, fetched when somebody wants to hear them.

import { el, icon } from "./dom.js";

export class ClipPlayer extends HTMLElement {
  /**
   * @param {() => Promise<Blob>} load  is asked once.
   * @param {string} label  what it plays, for people who hear the page.
   * @param {string} text  what it plays, on the button.
   */
  constructor({ load, label, text }) {
    super();
    Object.assign(this, { load, label, text });
  }

  connectedCallback() {
    this.audio = el("audio", { hidden: true });
    this.symbol = el("span", { class: "symbol" }, icon("play"));
    this.bar = el("span", { class: "heard" });
    this.face = el(
      "button",
      { type: "button", class: "button chip clip", onclick: () => this.playOrPause() },
      this.symbol,
      el("span", {}, this.text),
      this.bar,
    );
    this.fault = el("p", { class: "fault small", role: "alert", hidden: true });
    for (const kind of ["play", "pause", "ended"]) this.audio.addEventListener(kind, () => this.changed());
    this.audio.addEventListener("timeupdate", () => {
      this.bar.style.setProperty("--share", this.audio.currentTime / (this.audio.duration || 1));
    });
    this.replaceChildren(this.face, this.fault, this.audio);
    this.changed();
  }

  disconnectedCallback() {
    this.audio.pause();
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
  }

  async playOrPause() {
    if (!this.audio.paused) {
      this.audio.pause();
      return;
    }
    this.fault.hidden = true;
    this.face.classList.add("loading");
    try {
      if (!this.address) {
        this.address = URL.createObjectURL(await this.load());
        this.audio.src = this.address;
      }
      await this.audio.play();
    } catch (error) {
      this.fault.textContent = error.message;
      this.fault.hidden = false;
    } finally {
      this.face.classList.remove("loading");
    }
  }

  changed() {
    const on = !this.audio.paused;
    this.symbol.replaceChildren(icon(on ? "pause" : "play"));
    this.face.classList.toggle("playing", on);
    this.face.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${this.label}`);
  }
}

customElements.define("clip-player", ClipPlayer);

// Songs on their way to an answer: one after the other, each with its state. What the service does as a job outlives
// a reload of the page; what is still here does not.

import { gaveUp, Problem } from "./api.js";
import { settled, shareOf, stageOf } from "./jobs.js";
import { size } from "./words.js";

const KEPT = "whosings.jobs";

/**
 * @typedef {object} Song
 * @property {string} name
 * @property {File|null} file  null after a reload, until it is chosen again.
 * @property {"waiting"|"sending"|"listening"|"done"|"failed"} state
 * @property {number|null} share  of the step, 0 to 1; null where nobody knows.
 * @property {string} stage  the step, in words.
 * @property {string|null} job
 * @property {object|null} answer
 * @property {object|null} evidence
 * @property {Error|null} error
 * @property {object|null} kept  where the library has it, see keeping.js.
 */

/** Fires "change" with a song as its detail, and null where the list is another one. */
export class Songs extends EventTarget {
  constructor(api, about) {
    super();
    Object.assign(this, { api, about, list: [], working: false });
    this.restore();
  }

  add(files) {
    this.list.push(...files.map((file) => ({ ...blank(file.name), file })));
    this.changed(null);
    this.work();
  }

  again(song) {
    Object.assign(song, { state: "waiting", error: null, share: null });
    this.changed(song);
    this.work();
  }

  /** Stop the work on a song, and take it off the list. */
  remove(song) {
    song.stop?.abort();
    if (song.job) this.api.delete(`jobs/${encodeURIComponent(song.job)}`).catch(() => {}); // it may be gone already
    this.list = this.list.filter((one) => one !== song);
    this.remember();
    this.changed(null);
  }

  changed(song) {
    this.dispatchEvent(new CustomEvent("change", { detail: song }));
  }

  async work() {
    if (this.working) return;
    this.working = true;
    for (let song = this.next(); song; song = this.next()) await this.identify(song);
    this.working = false;
  }

  next() {
    return this.list.find((song) => song.state === "waiting");
  }

  async identify(song) {
    song.stop = new AbortController();
    const { signal } = song.stop;
    try {
      const found = await settled(
        this.api,
        song.job ? { status: 202, value: { id: song.job } } : await this.send(song),
        {
          signal,
          onJob: (job) => {
            song.job = job.id;
            this.remember();
          },
          onProgress: (job) => this.step(song, "listening", stageOf(job), shareOf(job)),
        },
      );
      Object.assign(song, { state: "done", answer: found.answer, evidence: found.evidence });
    } catch (error) {
      if (gaveUp(error)) return;
      Object.assign(song, { state: "failed", error });
      if (song.file) this.forget(song); // the work is to be done anew; without the file there is only the job
    }
    this.changed(song);
  }

  async send(song) {
    const most = this.about.limits?.upload_bytes;
    if (most && song.file.size > most) {
      throw new Problem(
        413,
        "TooLarge",
        `The file has ${size(song.file.size)}; this server takes up to ${size(most)}.`,
      );
    }
    this.step(song, "sending", "Sending", 0);
    return this.api.upload(
      "evidence",
      { file: song.file },
      {
        signal: song.stop.signal,
        onSent: (share) =>
          this.step(
            song,
            share < 1 ? "sending" : "listening",
            share < 1 ? "Sending" : "Listening",
            share < 1 ? share : null,
          ),
      },
    );
  }

  step(song, state, stage, share) {
    Object.assign(song, { state, stage, share });
    this.changed(song);
  }

  forget(song) {
    song.job = null;
    this.remember();
  }

  remember() {
    const jobs = this.list.filter((song) => song.job).map(({ name, job }) => ({ name, job }));
    sessionStorage.setItem(KEPT, JSON.stringify(jobs));
  }

  restore() {
    const jobs = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    this.list = jobs.map(({ name, job }) => ({ ...blank(name), job }));
    this.work();
  }
}

function blank(name) {
  return {
    name,
    file: null,
    state: "waiting",
    share: null,
    stage: "Waiting",
    job: null,
    answer: null,
    evidence: null,
    error: null,
    kept: null,
  };
}

// Files on their way into the gallery: one after the other, each with what came of it.

import { announce, el, icon, nameOf, put } from "./dom.js";
import { faultOf } from "./faults.js";
import { settled, shareOf } from "./jobs.js";
import { counted } from "./words.js";

/**
 * Enrol files of one singer, and say of each what came of it.
 * @param {string} singer
 * @param {File[]} files
 * @param {boolean} keep  the sound, so that it can be played as evidence.
 * @param {HTMLElement} place  where it is said.
 * @returns {Promise<number>} how many were added.
 */
export async function enrol(app, singer, files, keep, place) {
  const rows = files.map((file) => el("li", {}, nameOf(file.name), el("span", { class: "soft small" }, "waiting")));
  put(place, el("ul", { class: "plain enrolling" }, rows));
  let added = 0;
  for (const [number, file] of files.entries()) {
    if (await enrolOne(app, singer, file, keep, rows[number])) added += 1;
  }
  app.refresh();
  announce(`${counted(added, "recording")} of ${singer} added, of ${files.length}.`);
  return added;
}

async function enrolOne(app, singer, file, keep, row) {
  const measure = el("progress", { "aria-label": `Enrolling ${file.name}` });
  put(row, nameOf(file.name), measure);
  const show = (share) => (share === null ? measure.removeAttribute("value") : (measure.value = share));
  try {
    const sent = await app.api.upload(
      "enrol",
      { singer, file, keep: String(keep) },
      { onSent: (share) => show(share < 1 ? share : null) },
    );
    const done = await settled(app.api, sent, { onProgress: (job) => show(shareOf(job)) });
    put(
      row,
      icon("check"),
      nameOf(file.name),
      el("span", { class: "soft small" }, done.added ? "added" : "was enrolled already"),
      done.doubts.map((doubt) => el("p", { class: "caveats small", dir: "auto" }, icon("warn"), doubt)),
    );
    return done.added;
  } catch (error) {
    return new Promise((resolve) => {
      const again = () => resolve(enrolOne(app, singer, file, keep, row));
      put(row, nameOf(file.name), faultOf(error, again));
      if (!error.passing) resolve(false);
    });
  }
}

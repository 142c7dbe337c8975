// From an answer to a decision: the song is kept in the library, and its voices are found again there.

import { Problem } from "./api.js";
import { settled } from "./jobs.js";
import { matchVoices } from "./voices.js";

/**
 * Decide on a voice of a song that was only listened to so far.
 * @param {object} app
 * @param {import("./songs.js").Song} song
 * @param {number} place  which voice of its answer.
 * @param {{decision: string, singer: string|null}} said
 * @param {boolean} keepSound
 * @returns {Promise<object>} the line of the log.
 */
export async function decideOnSong(app, song, place, said, keepSound) {
  song.kept ??= await keep(app, song, keepSound);
  const number = song.kept.numbers[place];
  if (number === null || number === undefined) {
    throw new Problem(
      409,
      "NoVoice",
      "The library did not find this voice again in the song; look at the song there.",
    );
  }
  const decision = await decide(app, song.kept.recording, number, said);
  song.kept.decisions[place] = decision;
  return decision;
}

/** Write a decision on a voice of the library into the log. */
export function decide(app, recording, voice, { decision, singer = null }) {
  return app.api.post("review", { recording, voice, decision, singer, by: app.by });
}

async function keep(app, song, keepSound) {
  if (!song.file) throw new Problem(409, "NoFile", "Choose the file again first: this page has not got it any more.");
  const sent = await app.api.upload("library", { file: song.file, keep_audio: String(keepSound) });
  const { recording } = await settled(app.api, sent);
  const kept = await app.api.get(`library/recordings/${recording}`);
  const numbers = matchVoices(song.answer.voices, kept.voices);
  const byNumber = new Map(kept.voices.map((voice) => [voice.voice, voice.decision]));
  return { recording, numbers, decisions: numbers.map((number) => byNumber.get(number) ?? null) };
}

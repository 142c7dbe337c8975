// Voices of a song: what they are called, what colour they have, and which of a library's voices they are.

import { printable } from "./words.js";

const COLOURS = [
  "#0f766e",
  "#c2410c",
  "#4338ca",
  "#a16207",
  "#be185d",
  "#15803d",
  "#0369a1",
  "#7e22ce",
  "#b91c1c",
  "#4d7c0f",
  "#5eead4",
  "#fdba74",
  "#a5b4fc",
  "#fde047",
  "#f9a8d4",
  "#bef264",
];
const SOMEBODY_ELSE = "#6b7280";

/** A colour for each voice: one for each name, in the order in which they are shown; grey for nobody enrolled. */
export function coloursOf(voices) {
  const names = [...new Set(voices.map((voice) => voice.singer).filter((name) => name !== null))];
  return voices.map((voice) =>
    voice.singer === null ? SOMEBODY_ELSE : COLOURS[names.indexOf(voice.singer) % COLOURS.length],
  );
}

/** What each voice is called: its singer, or "somebody else", with a number where there are several of them. */
export function labelsOf(voices) {
  const strangers = voices.filter((voice) => voice.singer === null);
  return voices.map((voice) => {
    if (voice.singer !== null) return printable(voice.singer);
    return strangers.length > 1 ? `somebody else (${strangers.indexOf(voice) + 1})` : "somebody else";
  });
}

/** Seconds that two lists of spans share, of the seconds that either covers: 0 to 1. */
export function overlap(ones, others) {
  const length = (spans) => spans.reduce((sum, span) => sum + span.stop_s - span.start_s, 0);
  let shared = 0;
  for (const one of ones) {
    for (const other of others) {
      shared += Math.max(0, Math.min(one.stop_s, other.stop_s) - Math.max(one.start_s, other.start_s));
    }
  }
  return shared / Math.max(1e-9, length(ones) + length(others) - shared);
}

/**
 * Which voice of a library's recording each voice of an answer is: the pairs that overlap most come first.
 * @param {{spans}[]} answered
 * @param {{voice: number, spans}[]} kept
 * @returns {(number|null)[]} of each answered voice the kept one's number; null where none overlaps.
 */
export function matchVoices(answered, kept) {
  const pairs = answered.flatMap((one, place) =>
    kept.map((other) => ({ place, number: other.voice, shared: overlap(one.spans, other.spans) })),
  );
  const found = answered.map(() => null);
  const taken = new Set();
  for (const { place, number, shared } of pairs.sort((a, b) => b.shared - a.shared)) {
    if (shared <= 0 || found[place] !== null || taken.has(number)) continue;
    found[place] = number;
    taken.add(number);
  }
  return found;
}

// What the page says: numbers, times and sentences, in the same words as the command line.

// Controls, what turns the direction of writing, invisible tags, halves of characters.
const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]/gu;

/** Text of strangers: what cannot be seen, or would turn other text around, is shown as an escape such as \u202e. */
export function printable(text) {
  return text.replace(UNPRINTABLE, (found) => {
    const code = found.codePointAt(0).toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
    return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
}

/** As Python's f"{share:.0%}", which rounds a half to the even number. */
export function percent(share) {
  const exact = share * 100;
  const low = Math.floor(exact);
  const rest = exact - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 === 1);
  return `${up ? low + 1 : low}%`;
}

/** A share that may be small: "1.2%", "< 0.1%". */
export function finePercent(share) {
  if (share > 0 && share < 0.001) return "< 0.1%";
  return `${Number((100 * share).toFixed(1))}%`;
}

/** "0:12.0–0:18.0" */
export function spanText(span) {
  return [span.start_s, span.stop_s].map(preciseClock).join("–");
}

function preciseClock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** "3:05", or "1:02:09" from an hour on. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const two = (number) => String(number).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** "24 s", "3 min 5 s", "2 h 10 min" */
export function howLong(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "1 recording", "3 recordings" */
export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** "12 MB" */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${Number((bytes / 1e6).toPrecision(3))} MB`;
}

/** When something was decided, in the reader's own time. */
export function moment(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.valueOf()) ? iso : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/**
 * The verdict in one line, in parts: texts, and names as {name}.
 * @returns {(string|{name: string})[]}
 */
export function verdictParts(answer) {
  if (answer.verdict === "not enough vocals") return ["not enough vocals"];
  if (answer.verdict === "unknown") {
    const [best] = answer.top;
    const nearest = ["; nearest ", { name: best.singer }, `, ${percent(best.probability)})`];
    return [`unknown (${percent(answer.unknown_probability)}`, ...nearest];
  }
  if (answer.verdict === "worth a look") {
    const maybe = answer.voices.filter((voice) => voice.outcome === "worth a look");
    const named = maybe.map((voice) => [{ name: voice.singer }, ` (${percent(voice.probability)})`]);
    return ["worth a look: ", ...joined(named)];
  }
  return joined(answer.voices.map(voiceParts));
}

function voiceParts(voice) {
  const maybe = voice.outcome === "worth a look" ? ["perhaps "] : [];
  const who = voice.singer === null ? "somebody else" : { name: voice.singer };
  return [...maybe, who, ` (${percent(voice.probability)})`];
}

function joined(lists) {
  return lists.flatMap((parts, place) => (place ? [" and ", ...parts] : parts));
}

/** The same as text. */
export function verdictLine(answer) {
  return verdictParts(answer)
    .map((part) => (part.name === undefined ? part : printable(part.name)))
    .join("");
}

/** What was decided of a recording: one of the four outcomes by which a library is filtered. */
export function outcomeOf(answer) {
  if (answer.verdict === "not enough vocals") return "no vocals";
  return answer.verdict === "singer" || answer.verdict === "several singers" ? "named" : answer.verdict;
}

const MEANINGS = {
  singer: "One voice is heard, and it is closer to this enrolled singer than nearly any stranger's voice would be.",
  "several singers":
    "Several voices are heard. Where a name is given, the voice is closer to that enrolled singer than nearly any " +
    "stranger's voice would be. “Perhaps” is weaker: one stranger in ten may be as close.",
  "worth a look":
    "The voice resembles an enrolled singer, and no name is given: one stranger in ten may be as close. " +
    "Listen to both before you decide.",
  unknown:
    "Nobody who is enrolled sounds enough like what is heard. It does not say who sings, only that it is likely " +
    "nobody enrolled.",
  "not enough vocals":
    "Too little singing was found to compare it with anybody. A passage with more vocals may help.",
};

/** What an answer means, in a sentence or two. */
export function meaning(answer) {
  return MEANINGS[answer.verdict];
}

/** When names are given, in one sentence. */
export function termsSentence(terms) {
  if (terms.false_accepts === null) return "A name is given where it is likelier than somebody who is not enrolled.";
  const rate = Number((100 * terms.false_accepts).toPrecision(6));
  return `${rate}% of strangers would be given a name, too (${terms.measured_on}).`;
}

const OPINIONS = {
  resynthesised: "The voice sounds resynthesised, as it does after studio processing or in a clone.",
  natural: "The voice sounds natural, though a good clone may sound natural, too.",
};

/** What the second opinion says; "" where it has none. */
export function opinionSentence(opinion) {
  return opinion ? (OPINIONS[opinion.sound] ?? "") : "";
}

const VERIFICATIONS = new Map([
  [true, "one singer"],
  [false, "not certain enough to call it one singer"],
  [null, "not enough vocals to compare"],
]);

/** Whether two recordings have one singer, in a line. */
export function verificationLine(found) {
  return VERIFICATIONS.get(found.score === null ? null : found.same);
}

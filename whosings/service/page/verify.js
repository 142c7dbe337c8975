// Whether two songs have one singer.

import { button, el, icon, nameOf, put } from "./dom.js";
import { faultOf } from "./faults.js";
import { fileButton, takesDrops } from "./files.js";
import { subtabs } from "./tabs.js";
import { finePercent, verificationLine } from "./words.js";

export function verifyView(app, { signal }) {
  const files = [null, null];
  const result = el("div", { "aria-live": "polite" });
  const compare = button("Compare", () => run(), { kind: "primary", symbol: "look", disabled: true });
  const slots = ["First song", "Second song"].map((title, place) => {
    const name = el("p", { class: "slot-name" });
    const show = (file) => {
      files[place] = file;
      put(name, file ? nameOf(file.name) : el("span", { class: "soft" }, "Drop a file here, or choose one."));
      compare.disabled = !files.every(Boolean);
    };
    show(null);
    const take = ([file]) => show(file);
    return takesDrops(
      el(
        "section",
        { class: "drop slot", "aria-label": title },
        el("h2", {}, title),
        name,
        fileButton("Choose a file", take, { multiple: false, kind: "", label: `Choose the ${title.toLowerCase()}` }),
      ),
      take,
    );
  });

  const run = async () => {
    compare.disabled = true;
    put(
      result,
      el(
        "div",
        { class: "card progress" },
        el("span", {}, "Listening to both …"),
        el("progress", { "aria-label": "Listening to both" }),
      ),
    );
    try {
      const sent = await app.api.upload("verify", { first: files[0], second: files[1] }, { signal });
      put(result, verificationView(sent.value));
    } catch (error) {
      if (error.name !== "AbortError") put(result, faultOf(error, run));
    } finally {
      compare.disabled = false;
    }
  };

  return [
    el("h1", {}, "One singer in two songs?"),
    el(
      "p",
      { class: "lead" },
      "Give two songs. Their voices are compared with each other; nobody has to be enrolled.",
    ),
    subtabs(
      "Identify",
      [
        ["#/identify", "Who sings?"],
        ["#/verify", "Compare two songs"],
      ],
      "#/verify",
    ),
    el("div", { class: "slots" }, slots),
    el("div", { class: "row end" }, compare),
    result,
  ];
}

function verificationView(found) {
  const compared = found.score !== null;
  const kind = found.same ? "named" : compared ? "unknown" : "no-vocals";
  const symbol = found.same ? "check" : compared ? "unknown" : "silent";
  const threshold = found.threshold === null ? "none" : found.threshold.toFixed(2);
  return el(
    "section",
    { class: "card answer", "aria-label": "Result" },
    el(
      "div",
      { class: "said" },
      el(
        "span",
        { class: `tag ${kind}` },
        icon(symbol),
        found.same ? "alike" : compared ? "not certain" : "no vocals",
      ),
      el("h2", { class: "verdict" }, verificationLine(found)),
    ),
    el("p", { class: "soft" }, nameOf(found.first), " and ", nameOf(found.second)),
    compared
      ? el(
          "p",
          {},
          `Probability ${finePercent(found.probability)} at even odds, `,
          `score ${found.score.toFixed(2)} (threshold ${threshold}).`,
        )
      : null,
    el(
      "section",
      { class: "meaning", "aria-label": "What this answer means" },
      el("h3", {}, "What this answer means"),
      compared
        ? el(
            "p",
            { class: "terms" },
            `The threshold lets ${Number((100 * found.false_accept_rate).toPrecision(6))}% of pairs of different `,
            `singers pass, measured on ${found.measured_on}.`,
          )
        : el("p", {}, "Too little singing was found in one of them to compare it."),
      found.checked ? el("p", {}, found.checked) : null,
      el("p", { class: "notice" }, found.notice),
    ),
  );
}

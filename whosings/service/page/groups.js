// Voices that nobody has named, in groups that are likely one singer's each.

import { ClipPlayer } from "./clip.js";
import { ask, askName } from "./dialogs.js";
import { announce, button, el, icon, nameOf, put } from "./dom.js";
import { faultOf, fill } from "./faults.js";
import { follow, shareOf, stageOf } from "./jobs.js";
import { libraryTabs } from "./library.js";
import { counted, howLong, percent } from "./words.js";

export function groupsView(app, { signal }) {
  const list = el("ul", { class: "cards plain" });
  const progress = el("div");
  let groups = [];
  const show = (found) => {
    ({ groups } = found);
    if (!groups.length)
      return el(
        "li",
        { class: "empty" },
        icon("people"),
        el("p", {}, "There are no groups. They are made when somebody asks for it."),
      );
    return groups.map((group) => groupCard(app, group, () => groups, load));
  };
  const load = () => fill(list, async () => show(await app.api.get("library/groups", {}, signal)));
  const anew = button(
    "Group anew",
    async () => {
      anew.disabled = true;
      const bar = el("progress", { "aria-label": "Grouping" });
      const stage = el("span", {}, "Grouping …");
      put(progress, el("div", { class: "card progress" }, stage, bar));
      try {
        const job = await app.api.post("library/groups", undefined, signal);
        const onProgress = (now) => {
          stage.textContent = `${stageOf(now)} …`;
          if (shareOf(now) !== null) bar.value = shareOf(now);
        };
        const found = await follow(app.api, job.id, { onProgress, signal });
        put(progress);
        put(list, show(found));
        announce(`${counted(groups.length, "group")} found.`);
      } catch (error) {
        if (error.name !== "AbortError")
          put(
            progress,
            faultOf(error, () => anew.click()),
          );
      } finally {
        anew.disabled = false;
      }
    },
    { symbol: "people" },
  );
  load();
  return [
    el("h1", {}, "Voices without a name"),
    el(
      "p",
      { class: "lead" },
      "Voices of the library that nobody has named, each group likely one singer’s. " +
        "What you name, merge or split stays as you left it.",
    ),
    libraryTabs("#/groups"),
    app.may("review") ? el("div", { class: "row toolbar" }, anew) : null,
    progress,
    list,
  ];
}

function groupCard(app, group, groupsNow, onChanged) {
  const title = group.name ?? `Group ${group.id}`;
  const clip =
    group.clip &&
    new ClipPlayer({
      load: () =>
        app.api.sound(`library/recordings/${group.clip.recording}/clip`, {
          start_s: group.clip.start_s,
          stop_s: group.clip.stop_s,
        }),
      label: title,
      text: "Listen",
    });
  const path = `library/groups/${group.id}`;
  const done = (text) => {
    app.refresh();
    announce(text);
    onChanged();
    document.querySelector("h1").focus();
  };
  const [likely] = group.likely;
  const name = () =>
    askName(app.api, {
      title: "Who is this?",
      label: "Singer",
      value: group.name ?? likely?.name ?? "",
      action: "Name",
      text: "The voices of this group are enrolled under the name, without listening again.",
      act: async (singer) => {
        const { enrolled } = await app.api.post(`${path}/name`, { name: singer, by: app.by });
        done(
          `The group is called ${singer} now. ${enrolled ? `${counted(enrolled.added, "recording")} enrolled.` : ""}`,
        );
      },
    });
  const merge = () => {
    const others = groupsNow().filter((one) => one.id !== group.id);
    const choice = el(
      "select",
      {},
      others.map((one) =>
        el("option", { value: one.id }, `${one.name ?? `Group ${one.id}`} (${counted(one.voices.length, "voice")})`),
      ),
    );
    ask(
      "Merge with another group",
      [el("label", { class: "field" }, "The group that stays", choice)],
      [
        {
          text: "Merge",
          act: async () => {
            await app.api.post(`${path}/merge`, { into: Number(choice.value), by: app.by });
            done("The groups were merged.");
          },
        },
      ],
    );
  };
  const boxes = group.voices.map((voice) =>
    el("input", {
      type: "checkbox",
      onchange: () => {
        split.disabled = !boxes.some((box) => box.checked);
      },
      "aria-label": `Voice ${voice.voice + 1} of ${voice.name}`,
    }),
  );
  const split = button(
    "Split off what is ticked",
    async () => {
      try {
        const voices = group.voices
          .filter((_, place) => boxes[place].checked)
          .map(({ recording, voice }) => ({ recording, voice }));
        await app.api.post(`${path}/split`, { voices, by: app.by });
        done(`${counted(voices.length, "voice")} split off.`);
      } catch (error) {
        split.after(faultOf(error));
      }
    },
    { kind: "small", disabled: true },
  );
  const voiceRow = (voice, place) =>
    el(
      "li",
      { class: "row" },
      app.may("review") ? boxes[place] : null,
      el("a", { class: "grow", href: `#/library/${voice.recording}` }, nameOf(voice.name)),
      voice.by_person ? el("span", { class: "tag" }, icon("check"), "by a person") : null,
      el("span", { class: "soft small" }, howLong(voice.seconds)),
    );

  return el(
    "li",
    { class: "card singer" },
    el(
      "div",
      { class: "singer-head" },
      el("span", { class: "initial", "aria-hidden": "true" }, icon(group.name ? "check" : "unknown")),
      el(
        "div",
        { class: "grow" },
        el("h2", {}, nameOf(title)),
        el(
          "p",
          { class: "soft" },
          `${counted(group.recordings, "recording")} · ${howLong(group.seconds)}`,
          group.kept ? " · kept as a person left it" : "",
        ),
      ),
    ),
    likely
      ? el(
          "p",
          { class: "small" },
          "Perhaps ",
          nameOf(likely.name),
          likely.source === "tags"
            ? `: tags of ${percent(likely.share)} of the recordings say so.`
            : `, who is enrolled (probability ${percent(likely.share)}).`,
        )
      : null,
    clip || null,
    el(
      "details",
      {},
      el("summary", { "aria-label": `Voices of ${title}` }, counted(group.voices.length, "voice")),
      el("ul", { class: "plain recordings" }, group.voices.map(voiceRow)),
      app.may("review")
        ? [
            split,
            el(
              "p",
              { class: "small soft" },
              "What is split off is somebody else’s, and finds its group when groups are made anew.",
            ),
          ]
        : null,
    ),
    app.may("review")
      ? el(
          "div",
          { class: "row" },
          app.may("enrol")
            ? button(group.name ? "Rename" : "Name", name, { kind: "small", label: `Name ${title}` })
            : null,
          groupsNow().length > 1
            ? button("Merge", merge, { kind: "quiet small", label: `Merge ${title} with another group` })
            : null,
        )
      : null,
  );
}

// Files from the reader's own machine: chosen, or dropped.

import { el, icon } from "./dom.js";

const ACCEPT = "audio/*,.wav,.flac,.mp3,.ogg,.opus,.aiff,.aif,.m4a,.aac,.mka,.mp4";

/** A button that opens the choice of files; a real input lies under it, for keyboards and screen readers. */
export function fileButton(
  text,
  onFiles,
  { multiple = true, kind = "primary", label = null, symbol = "upload" } = {},
) {
  const input = el("input", {
    type: "file",
    accept: ACCEPT,
    multiple,
    class: "unseen",
    "aria-label": label,
    onchange: () => {
      const files = [...input.files];
      input.value = ""; // the same file can be chosen again
      if (files.length) onFiles(files);
    },
  });
  return el("label", { class: `button ${kind} choose` }, input, symbol ? icon(symbol) : null, el("span", {}, text));
}

/** Let files be dropped on an element. */
export function takesDrops(element, onFiles) {
  let depth = 0; // of elements within that were entered
  const show = (change) => {
    depth = change === 0 ? 0 : depth + change;
    element.classList.toggle("dropping", depth > 0);
  };
  element.addEventListener("dragenter", (event) => {
    event.preventDefault();
    show(1);
  });
  element.addEventListener("dragleave", () => show(-1));
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  element.addEventListener("drop", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    show(0);
    const files = await filesOf(event.dataTransfer);
    if (files.length) onFiles(files);
  });
  return element;
}

/** A file that is dropped beside its place would replace the page. */
export function refuseOtherDrops() {
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
}

/** All files that were dropped, those in folders too. */
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(within))).flat();
}

async function within(entry) {
  if (!entry.isDirectory)
    return [
      await new Promise((resolve, reject) => {
        entry.file(resolve, reject);
      }),
    ];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (!some.length) break; // it gives a hundred at a time
    found.push(...some);
  }
  const visible = found.filter((one) => !one.name.startsWith("."));
  return (await Promise.all(visible.map(within))).flat();
}

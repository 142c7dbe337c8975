// Long work: its progress as server-sent events, read by fetch because EventSource cannot send a token.

import { gaveUp, Problem } from "./api.js";

const MOST_BREAKS = 30; // of the line, one after the other: a service that starts anew takes some seconds
const PAUSE_MS = 1000;

/**
 * Follow a job to its end.
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @param {(job: object) => void} onProgress
 * @returns {Promise<object>} the job's result.
 * @throws {Problem} the job failed, is gone, or the server is.
 */
export async function follow(api, id, { onProgress = () => {}, signal = undefined } = {}) {
  let last = null;
  let breaks = 0;
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const response = await api.request(`jobs/${encodeURIComponent(id)}/events`, { headers, signal });
      for await (const event of eventsOf(response.body)) {
        last = event.id ?? last;
        breaks = 0;
        const job = JSON.parse(event.data);
        if (event.kind === "done") return job.result ?? (await resultOf(api, id, signal));
        if (event.kind === "failed") throw failure(job);
        onProgress(job);
      }
    } catch (error) {
      if (
        gaveUp(error) ||
        !(error instanceof Problem ? error.passing && error.status !== 401 : error instanceof TypeError)
      )
        throw error;
    }
    breaks += 1;
    if (breaks > MOST_BREAKS) throw new Problem(0, "Unreachable", "The server does not say any more how far it is.");
    await pause(PAUSE_MS, signal);
  }
}

/**
 * The value of an upload: what came at once, or the result of the job that it became.
 * @param {{status: number, value: object}} sent
 */
export async function settled(api, sent, { onJob = () => {}, ...options } = {}) {
  if (sent.status !== 202) return sent.value;
  onJob(sent.value);
  return follow(api, sent.value.id, options);
}

/** How far a job is, in words. */
export function stageOf(job) {
  if (job.state === "waiting") return "Waiting for its turn";
  const stage = job.stage || "working";
  return stage[0].toUpperCase() + stage.slice(1);
}

/** How far a job is, 0 to 1; null where nobody knows. */
export function shareOf(job) {
  return job.steps ? Math.min(1, job.done / job.steps) : null;
}

async function resultOf(api, id, signal) {
  const job = await api.get(`jobs/${encodeURIComponent(id)}`, {}, signal);
  if (job.state === "failed") throw failure(job);
  return job.result;
}

function failure(job) {
  const said = job.error ?? {};
  return new Problem(said.status ?? 500, said.title ?? "Error", said.detail ?? "The work failed.");
}

/** Server-sent events of a body, as {id, kind, data}. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text = (text + value).replaceAll("\r\n", "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      yield* blocks.map(parsed).filter((event) => event.data);
    }
  } finally {
    reader.cancel().catch(() => {}); // it was read to its end, or nobody reads on
  }
}

function parsed(block) {
  const event = { id: null, kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("id:")) event.id = value;
    else if (line.startsWith("event:")) event.kind = value;
    else if (line.startsWith("data:")) event.data += (event.data ? "\n" : "") + value;
  }
  return event;
}

function pause(wait_ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("given up", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, wait_ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

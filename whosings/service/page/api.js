// The service's API: requests with the token, answers as objects, errors as sentences.

const TOKEN = "whosings.token";

/** What the service said instead of an answer; `message` is a sentence for people. */
export class Problem extends Error {
  constructor(status, title, detail, retryAfter_s = null) {
    super(detail);
    this.status = status;
    this.title = title;
    this.retryAfter_s = retryAfter_s;
  }

  /** Whether the same request may work later, or with another token. */
  get passing() {
    return [0, 401, 429, 503].includes(this.status);
  }
}

/** A request that somebody gave up. */
export function gaveUp(error) {
  return error?.name === "AbortError";
}

export class Api {
  /** @param {() => void} onRefused  is called when the service asks for a token that it knows. */
  constructor(onRefused) {
    this.onRefused = onRefused;
  }

  get token() {
    return sessionStorage.getItem(TOKEN);
  }

  set token(value) {
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  }

  /** The address of a path of the API. */
  address(path, query = {}) {
    const address = new URL(`v1/${path}`, document.baseURI);
    address.hash = "";
    for (const [key, value] of Object.entries(query)) {
      if (value !== null && value !== undefined && value !== "") address.searchParams.set(key, value);
    }
    return address.href;
  }

  get headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** The raw response, where it is one. */
  async request(path, { query = {}, method = "GET", body = undefined, headers = {}, signal = undefined } = {}) {
    const asked = { method, body, signal, headers: { ...this.headers, ...headers } };
    let response;
    try {
      response = await fetch(this.address(path, query), asked);
    } catch (error) {
      if (gaveUp(error)) throw error;
      throw unreachable();
    }
    if (!response.ok) throw this.refused(await asProblem(response.status, response.headers, await response.text()));
    return response;
  }

  async get(path, query = {}, signal = undefined) {
    return (await this.request(path, { query, signal })).json();
  }

  async post(path, value, signal = undefined) {
    const headers = { "Content-Type": "application/json" };
    const body = value === undefined ? undefined : JSON.stringify(value);
    return (await this.request(path, { method: "POST", body, headers, signal })).json();
  }

  async delete(path, query = {}) {
    await this.request(path, { query, method: "DELETE" });
  }

  /** Sound, to be played: players cannot send a token. */
  async sound(path, query = {}, signal = undefined) {
    return (await this.request(path, { query, signal })).blob();
  }

  /**
   * Send a form with files.
   * @param {(share: number) => void} onSent  0 to 1, as it is sent: this is why it is no fetch.
   * @returns {Promise<{status: number, value: object}>} 200 with an answer, or 202 with a job.
   */
  upload(path, fields, { query = {}, onSent = () => {}, signal = undefined } = {}) {
    const form = new FormData();
    for (const [key, value] of Object.entries(fields)) form.append(key, value);
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const stop = () => request.abort();
      request.open("POST", this.address(path, query));
      for (const [key, value] of Object.entries(this.headers)) request.setRequestHeader(key, value);
      request.upload.addEventListener(
        "progress",
        (event) => event.lengthComputable && onSent(event.loaded / event.total),
      );
      request.addEventListener("load", async () => {
        const get = { get: (name) => request.getResponseHeader(name) };
        if (request.status < 200 || request.status > 299) {
          reject(this.refused(await asProblem(request.status, get, request.responseText)));
        } else {
          resolve({ status: request.status, value: JSON.parse(request.responseText) });
        }
      });
      request.addEventListener("error", () => reject(unreachable()));
      request.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
      request.addEventListener("loadend", () => signal?.removeEventListener("abort", stop));
      signal?.addEventListener("abort", stop);
      if (signal?.aborted) reject(new DOMException("given up", "AbortError"));
      else request.send(form);
    });
  }

  refused(problem) {
    if (problem.status === 401) this.onRefused();
    return problem;
  }
}

function unreachable() {
  return new Problem(0, "Unreachable", "The server cannot be reached; see whether it still runs, then try again.");
}

async function asProblem(status, headers, text) {
  const wait = Number(headers.get("Retry-After"));
  const retryAfter_s = Number.isFinite(wait) && wait > 0 ? wait : null;
  try {
    const said = JSON.parse(text);
    if (typeof said.detail === "string") return new Problem(status, said.title, said.detail, retryAfter_s);
  } catch {
    /* whatever stands in front of the service answered, not the service */
  }
  return new Problem(status, "Error", `The server answered with error ${status}.`, retryAfter_s);
}

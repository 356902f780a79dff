// The service's API: requests that can be aborted, problems as the service words them, and progress as it comes.

import { known, recall, remember, t } from "./words.js";

const TOKEN = "finpipe.token";

/** An error as the service tells it (RFC 9457), or that it could not be reached. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, errors = [], instance = null }) {
    super(detail ?? title);
    Object.assign(this, { title, detail, status, errors: errors ?? [], instance });
  }
}

export function token() {
  return recall(TOKEN, "sessionStorage");
}

export function keepToken(value) {
  remember(TOKEN, value || null, "sessionStorage");
}

async function send(path, { method = "GET", body = null, signal = null, headers = {} } = {}) {
  const asked = { Accept: "application/json", ...headers };
  if (body !== null) asked["Content-Type"] = "application/json";
  if (token()) asked.Authorization = `Bearer ${token()}`;
  let answer;
  try {
    answer = await fetch(path, { method, signal, headers: asked, body: body === null ? null : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: t("error.unreachable"), detail: t("error.unreachable.help") });
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // Something between the page and the service answered.
  }
  if (answer.status === 401) document.dispatchEvent(new Event("finpipe:token"));
  const title = known(`error.${answer.status}`, told.title ?? t("error.unknown"));
  return new Problem({ ...told, title, status: answer.status });
}

async function json(path, options) {
  const answer = await send(path, options);
  return answer.status === 204 ? null : answer.json();
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const named = encodeURIComponent;

export const analyze = (ticker, values, signal) => json(`api/analyze/${named(ticker)}${query(values)}`, { signal });
export const groups = (signal) => json("api/groups", { signal });
export const benchmark = (body, signal) => json("api/benchmark", { method: "POST", body, signal });
export const picks = (variant, signal) => json(`api/picks${query({ variant })}`, { signal });
export const reports = (signal) => json("api/research/reports", { signal });
export const report = async (href) => (await send(href, { headers: { Accept: "text/html" } })).blob();
export const cacheState = (signal) => json("api/cache", { signal });
export const health = (signal) => json("api/health", { signal });
export const portfolios = (signal) => json("api/portfolios", { signal });
export const portfolio = (id, signal) => json(`api/portfolios/${named(id)}`, { signal });
export const removePortfolio = (id) => json(`api/portfolios/${named(id)}`, { method: "DELETE" });
export const savePortfolio = (id, body, replace) =>
  json(`api/portfolios/${named(id)}`, { method: "PUT", body, headers: replace ? {} : { "If-None-Match": "*" } });

/** Ask for optimal weights: `{ result }` if they are known already, `{ job }` if they are being computed. */
export async function optimize(body, signal) {
  const answer = await send("api/optimize", { method: "POST", body, signal });
  const told = await answer.json();
  return answer.status === 202 ? { job: told } : { result: told };
}

export const job = (id, signal) => json(`api/optimize/${named(id)}`, { signal });
export const cancelJob = (id) => json(`api/optimize/${named(id)}`, { method: "DELETE" });

const OVER = new Set(["done", "failed", "cancelled"]);
const AGAIN_MS = [500, 1000, 2000, 4000];

/** Follow a job until it is over, telling each state; a stream that breaks off is taken up again. Returns the last. */
export async function follow(id, told, signal) {
  let failures = 0;
  for (;;) {
    try {
      for await (const event of events(`api/optimize/${named(id)}/events`, signal)) {
        failures = 0;
        told(event.data);
        if (OVER.has(event.data.state)) return event.data.state === "done" && !event.data.result ? job(id, signal) : event.data;
      }
      const now = await job(id, signal);
      if (OVER.has(now.state)) return now;
    } catch (error) {
      if (error.name === "AbortError" || error.status >= 400) throw error;
    }
    if (failures >= AGAIN_MS.length) {
      throw new Problem({ title: t("error.unreachable"), detail: t("error.unreachable.help") });
    }
    await pause(AGAIN_MS[failures], signal);
    failures += 1;
  }
}

/** Server-sent events; read by fetch, so that they can carry a token. */
async function* events(path, signal) {
  const answer = await send(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (signal?.aborted) throw new DOMException("aborted", "AbortError");
      throw error;
    }
    if (part.done) return;
    pending += part.value.replaceAll("\r", "");
    let end;
    while ((end = pending.indexOf("\n\n")) >= 0) {
      const event = parsed(pending.slice(0, end));
      pending = pending.slice(end + 2);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}

/** Runs one thing at a time: a new one aborts the one before, whose answer is then never shown. */
export class Latest {
  #running = null;

  abort() {
    this.#running?.abort();
    this.#running = null;
  }

  /** Run `work(signal)`; resolves to what it made, or to null if something newer took its place. */
  async run(work) {
    this.abort();
    const own = new AbortController();
    this.#running = own;
    try {
      const made = await work(own.signal);
      return own.signal.aborted ? null : { made };
    } catch (error) {
      if (own.signal.aborted) return null;
      throw error;
    } finally {
      if (this.#running === own) this.#running = null;
    }
  }
}

/** Call after a pause in calls; `cancel()` forgets a call that waits. */
export function debounced(call, milliseconds) {
  let timer = null;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), milliseconds);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

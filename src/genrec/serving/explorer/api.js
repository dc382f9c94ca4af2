// The routes of the server, see docs/serve.md.

let token = "";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function show(given) {
  token = given;
}

async function ask(path, { body, signal } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const options = { signal, headers, cache: "no-store" };
  if (body) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the server does not answer");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, answer?.error ?? `the server answered ${response.status}`);
  return answer;
}

const query = (options) => new URLSearchParams(options).toString();

export const info = () => ask("info");
export const search = (q, run, limit, signal) => ask(`items?${query({ q, run, limit })}`, { signal });
export const item = (key, run) => ask(`items/${encodeURIComponent(key)}?${query({ run })}`);
export const similar = (key, run, by, k) => ask(`similar/${encodeURIComponent(key)}?${query({ run, by, k })}`);
export const recommend = (history, run, k, signal) =>
  ask("recommend", { body: { histories: [history], k, run, unknown: "skip", explain: true }, signal });

// What the page asks the server.

const ROOT = "/api/recordings/";
export const MOST = 100; // calls in one request

/** `kind`: logged_out, unreachable, refused or not_found. */
export class Refusal extends Error {
  constructor(kind, message = "") {
    super(message);
    this.kind = kind;
  }
}

export const ask = (callSid, { force } = {}) =>
  request(`${callSid}/download`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify({ force }),
  });

export const statuses = async (callSids) => (await request(`status?ids=${callSids.slice(0, MOST)}`)).results;

export const eventsOf = (callSids) => `${ROOT}events?ids=${callSids}`;

export const peaks = (callSid) => request(`${callSid}/peaks`).catch(() => null);

async function request(path, options) {
  const response = await fetch(ROOT + path, { signal: AbortSignal.timeout(30_000), ...options }).catch(() => null);
  const body = await response?.json().catch(() => null);
  if (body && response.ok) return body;
  if (body?.recording) return body.recording; // a problem that says how it stands
  const { status } = response ?? {};
  const kind = { 401: "logged_out", 404: "not_found", 429: "unreachable" }[status] ?? (body && status < 500 ? "refused" : "unreachable");
  throw new Refusal(kind, body?.detail);
}

// Not from the page: a login in another tab has given it a new value.
const csrfToken = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? document.querySelector("[name=csrfmiddlewaretoken]").value;

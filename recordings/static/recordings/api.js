// The two questions that the page asks the server: "please fetch this recording" and "how do these stand?".

const ROOT = "/api/recordings/";
const ANSWER_WITHIN = 30_000; // ms

/** The server's no. `kind`: logged_out, unreachable, refused or not_found; `message`: the server's own words, if any. */
export class Refusal extends Error {
  constructor(kind, message = "") {
    super(message || kind);
    this.kind = kind;
    this.message = message;
  }
}

/** Ask for one recording, as a person does. Answers its status payload, also where it has failed for good. */
export async function ask(callSid, { force = false } = {}) {
  return request(`${encodeURIComponent(callSid)}/download`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(force ? { force: true } : {}),
  });
}

/** The status payloads of up to 100 calls, by call SID, in one request. Those that do not exist are left out. */
export async function statuses(callSids) {
  const ids = callSids.slice(0, 100).map(encodeURIComponent).join(",");
  return (await request(`status?ids=${ids}`)).results;
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(ROOT + path, {
      ...options,
      headers: { Accept: "application/json", ...options.headers },
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    });
  } catch {
    throw new Refusal("unreachable");
  }
  const body = await response.json().catch(() => null);
  if (body !== null && response.ok) return body;
  if (body?.recording) return body.recording; // failed for good: the problem document says how it stands
  if (response.status === 401) throw new Refusal("logged_out");
  if (response.status === 404) throw new Refusal("not_found");
  if (body === null || response.status >= 500 || response.status === 429) throw new Refusal("unreachable");
  throw new Refusal("refused", body.detail);
}

// From the cookie and not from the page: a login in another tab has given it a new value.
function csrfToken() {
  const cookie = document.cookie.split("; ").find((part) => part.startsWith("csrftoken="));
  return cookie?.split("=")[1] ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

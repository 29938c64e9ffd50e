// Waiting for recordings that are on their way: one request for all of them, status first, and not for ever.

export const TRIES = 10;
const LONGEST = 8; // seconds
const EARLY = 50; // ms that a timer may be ahead of the clock

/** Seconds to wait before looking for the `tries`-th time (0 is the first): what the server says, else 2, 3, 4.5 … 8. */
export function delay(tries, retryAfter = null) {
  return retryAfter ?? Math.min(2 * 1.5 ** tries, LONGEST);
}

/** What to do about a status payload after looking `tries` times: "done", "stop", "ask", "wait" or "give up". */
export function decide(payload, tries) {
  if (payload.playable) return "done";
  const underWay = payload.status === "queued" || payload.status === "downloading";
  const comesBack = payload.status === "failed" && !payload.permanent && payload.next_retry_at !== null;
  if (payload.status !== "missing" && !underWay && !comesBack) return "stop";
  if (tries >= TRIES) return "give up";
  return payload.status === "missing" ? "ask" : "wait";
}

/**
 * Looks at what is waited for when its time comes.
 *
 * `statuses(sids)` and `ask(sid)` are api.js's; `bystanders()` names other pending rows, which are looked at in the same
 * request; `tell(sid, payload, verdict)` hears every answer, `refuse(sid, refusal)` the end of waiting without one.
 */
export class Waiting {
  #entries = new Map(); // call SID → { tries, due }
  #timer = null;
  #looking = false;

  constructor({ statuses, ask, bystanders = () => [], tell, refuse }) {
    Object.assign(this, { statuses, ask, bystanders, tell, refuse });
  }

  has(callSid) {
    return this.#entries.has(callSid);
  }

  /** Wait for a recording whose payload has just been read. */
  add(callSid, payload) {
    this.#entries.set(callSid, { tries: 0, due: this.#time(0, payload) });
    this.#schedule();
  }

  drop(callSid) {
    this.#entries.delete(callSid);
    this.#schedule();
  }

  #time(tries, payload) {
    return performance.now() + 1000 * delay(tries, payload?.retry_after ?? null);
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (this.#looking || this.#entries.size === 0) return;
    const next = Math.min(...[...this.#entries.values()].map((entry) => entry.due));
    this.#timer = setTimeout(() => this.#look(), Math.max(0, next - performance.now()));
  }

  async #look() {
    this.#looking = true;
    const mine = [...this.#entries.keys()];
    const others = this.bystanders().filter((sid) => !this.has(sid));
    try {
      const found = await this.statuses([...mine, ...others]).catch((refusal) => {
        for (const sid of mine) this.#excuse(sid, refusal);
      });
      if (!found) return;
      for (const sid of others) if (found[sid] && !this.has(sid)) this.tell(sid, found[sid], "seen");
      await Promise.all(mine.map((sid) => this.#consider(sid, found[sid])));
    } finally {
      this.#looking = false;
      this.#schedule();
    }
  }

  async #consider(sid, payload) {
    const entry = this.#entries.get(sid);
    if (!entry) return;
    if (!payload) return this.#end(sid, () => this.refuse(sid, { kind: "not_found" }));
    const isDue = entry.due <= performance.now() + EARLY;
    if (isDue) entry.tries += 1;
    let verdict = decide(payload, entry.tries);
    if (!isDue && (verdict === "ask" || verdict === "wait")) return this.tell(sid, payload, "wait"); // looked at with others
    if (verdict === "ask") {
      try {
        payload = await this.ask(sid);
      } catch (refusal) {
        return this.#excuse(sid, refusal);
      }
      verdict = decide(payload, entry.tries);
      if (verdict === "ask") verdict = "wait"; // cooling down
    }
    if (verdict !== "wait") return this.#end(sid, () => this.tell(sid, payload, verdict));
    entry.due = this.#time(entry.tries, payload);
    this.tell(sid, payload, verdict);
  }

  // A server that could not be reached is looked for again, within the same number of tries.
  #excuse(sid, refusal) {
    const entry = this.#entries.get(sid);
    if (!entry) return;
    entry.tries += 1;
    if (refusal.kind !== "unreachable" || entry.tries >= TRIES) {
      this.#end(sid, () => this.refuse(sid, refusal));
    } else {
      entry.due = this.#time(entry.tries);
    }
  }

  #end(sid, say) {
    this.#entries.delete(sid);
    say();
  }
}

// Without push: looks at all in one request, ever less often and not for ever.

const TRIES = 10;
const LONGEST = 8; // seconds
const EARLY = 50; // ms that a timer may be ahead of the clock

export const isComing = ({ status, permanent, next_retry_at: retry }) =>
  status === "queued" || status === "downloading" || (status === "failed" && !permanent && retry !== null);

/** What to do about a status payload after looking `tries` times. */
export function decide(payload, tries = 0) {
  if (payload.playable) return "done";
  if (payload.status !== "missing" && !isComing(payload)) return "stop";
  if (tries >= TRIES) return "give up";
  return payload.status === "missing" ? "ask" : "wait";
}

/** `tell` hears every answer, `refuse` the end without one. */
export class Waiting {
  #entries = new Map(); // call SID → { tries, due }
  #timer;
  #isLooking = false;

  constructor(handlers) {
    Object.assign(this, handlers);
  }

  /** Wait for these and no others. `payload`: just read. */
  keep(callSids, payload) {
    for (const sid of this.#entries.keys()) if (!callSids.includes(sid)) this.#entries.delete(sid);
    for (const sid of callSids) if (!this.#entries.has(sid)) this.#entries.set(sid, { tries: 0, due: time(0, payload) });
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (this.#isLooking || this.#entries.size === 0) return;
    const next = Math.min(...[...this.#entries.values()].map(({ due }) => due));
    this.#timer = setTimeout(() => this.#look(), next - performance.now());
  }

  async #look() {
    this.#isLooking = true;
    const sids = [...this.#entries.keys()];
    const found = await this.statuses(sids).catch((refusal) => Object.fromEntries(sids.map((sid) => [sid, refusal])));
    await Promise.all(sids.map((sid) => this.#consider(sid, found[sid] ?? { kind: "not_found" })));
    this.#isLooking = false;
    this.#schedule();
  }

  // `answer`: a payload, or a refusal.
  async #consider(sid, answer) {
    const entry = this.#entries.get(sid);
    if (!entry) return;
    const isDue = entry.due <= performance.now() + EARLY;
    if (isDue) entry.tries += 1;
    let verdict = judge(answer, entry.tries);
    if (verdict === "ask" && isDue) {
      answer = await this.ask(sid).catch((refusal) => refusal);
      verdict = judge(answer, entry.tries);
    }
    if (verdict === "ask") verdict = "wait"; // cooling down
    if (verdict !== "wait") this.#entries.delete(sid);
    else if (isDue) entry.due = time(entry.tries, answer);
    if (!answer.kind) this.tell(sid, answer, verdict);
    else if (verdict !== "wait") this.refuse(sid, answer);
  }
}

const time = (tries, answer) => performance.now() + 1000 * (answer?.retry_after ?? Math.min(2 * 1.5 ** tries, LONGEST));

function judge(answer, tries) {
  if (!answer.kind) return decide(answer, tries);
  return answer.kind === "unreachable" && tries < TRIES ? "wait" : "refuse";
}

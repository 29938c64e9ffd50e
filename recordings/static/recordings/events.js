// Push: one connection for all that is on its way, while there is any.

import { MOST, eventsOf } from "./api.js";

const AGAIN_AFTER = 60_000; // ms

export class News {
  #source;
  #sids;
  #lostAt = -AGAIN_AFTER;

  constructor(handlers) {
    Object.assign(this, handlers);
  }

  /** Answers whether there is push. */
  follow(sids) {
    if (sids.length && performance.now() - this.#lostAt < AGAIN_AFTER) return false;
    if (this.#source && sids.length && sids.every((sid) => this.#sids.includes(sid))) return true;
    this.#source?.close();
    this.#source = null;
    if (sids.length) this.#open(sids.slice(0, MOST));
    return true;
  }

  #open(sids) {
    const source = new EventSource(eventsOf(sids));
    let faults = 0;
    const hear = ({ data }) => {
      faults = 0;
      const { results, ...payload } = JSON.parse(data);
      for (const one of results ? Object.values(results) : [payload]) if (this.#source === source) this.tell(one);
    };
    source.addEventListener("snapshot", hear);
    source.addEventListener("status", hear);
    source.addEventListener("error", () => {
      faults += 1;
      if (this.#source !== source || (source.readyState !== source.CLOSED && faults < 3)) return; // it tries again
      this.follow([]);
      this.#lostAt = performance.now();
      this.lost();
    });
    this.#source = source;
    this.#sids = sids;
  }
}

// The page's one player: an <audio> in a dock at the foot of the page. It plays a direct address that answers ranges.

export class Player extends EventTarget {
  /** `dock` holds the <audio>. Sends "state" with detail { row, activity } and "failure" with { row, code }. */
  constructor(dock) {
    super();
    this.dock = dock;
    this.audio = dock.querySelector("audio");
    this.row = null;
    for (const type of ["play", "playing", "pause", "ended", "waiting"]) {
      this.audio.addEventListener(type, () => this.#tell(type));
    }
    this.audio.addEventListener("error", () => this.#fail(this.audio.error?.code));
    dock.querySelector("[data-close]").addEventListener("click", () => this.#close());
  }

  /** Whether this row is the one that is played, or paused. */
  holds(row) {
    return this.row === row;
  }

  /** Play a row's recording from its beginning; whatever played before stops. */
  async play(row) {
    this.stop();
    this.row = row;
    this.dock.hidden = false;
    document.documentElement.toggleAttribute("data-docked", true);
    this.dock.querySelector("[data-title]").textContent = row.about;
    this.audio.src = row.stream;
    await this.#start();
  }

  async toggle() {
    if (this.audio.paused) await this.#start();
    else this.audio.pause();
  }

  /** Stop and put the player away. */
  stop() {
    const row = this.row;
    this.row = null;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load(); // lets go of the connection
    this.dock.hidden = true;
    document.documentElement.toggleAttribute("data-docked", false);
    if (row) this.#say("state", { row, activity: "" });
  }

  #close() {
    const row = this.row;
    this.stop();
    row?.play.focus();
  }

  async #start() {
    const row = this.row;
    try {
      await this.audio.play();
    } catch (error) {
      // The browser wants a click of its own for sound. Every other failure has an "error" event of its own.
      if (error.name === "NotAllowedError" && this.holds(row)) this.#say("state", { row, activity: "paused" });
    }
  }

  #tell(type) {
    if (!this.row) return;
    const activity = { play: "loading", waiting: "loading", playing: "playing", pause: "paused", ended: "" }[type];
    if (type === "play" && this.audio.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) return; // "playing" follows at once
    if (type === "pause" && (this.audio.ended || !this.audio.paused)) return; // not a pause, or that of the row before
    this.#say("state", { row: this.row, activity });
  }

  #fail(code) {
    const row = this.row;
    if (!row || !code) return; // put away since
    this.row = null;
    this.stop();
    this.#say("failure", { row, code });
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

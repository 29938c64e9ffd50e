// The page's one player. It asks for the sound of a row and, when that is whole, for its waveform.

import { peaks } from "./api.js";
import { keepSetting, recall, remember, setting } from "./places.js";
import { Speakers } from "./speakers.js";
import { Waveform, clock, silences } from "./waveform.js";

const tabs = new BroadcastChannel("player");

class RecordingPlayer extends HTMLElement {
  row = null;
  isLoaded = false;
  #start = 0; // where it goes on, while the <audio> can't be told
  #heard = 0;
  #silences = [];
  #muted = [];
  #speakers;
  #isDragged = false;

  connectedCallback() {
    const audio = (this.audio = this.querySelector("audio"));
    Object.assign(this, JSON.parse(document.getElementById("player-words").textContent));
    this.parts = {};
    for (const element of this.querySelectorAll("[data-part]")) this.parts[element.dataset.part] = element;
    const { speed, slider } = this.parts;
    this.waveform = new Waveform(this.parts.waveform);
    for (const type of ["play", "playing", "pause", "ended", "waiting"]) audio.addEventListener(type, () => this.#hear(type));
    audio.addEventListener("error", () => this.#fail());
    audio.addEventListener("loadedmetadata", () => this.#seek(this.#start));
    audio.addEventListener("timeupdate", () => this.#follow());
    tabs.addEventListener("message", () => audio.pause());
    this.addEventListener("click", ({ target }) => this.#press(target.closest("[data-do]")));
    for (const name of ["skip", "auto", "keys"]) this.parts[name].ariaPressed = setting(name) ?? name === "keys";
    speed.value = setting("speed") ?? "1";
    speed.addEventListener("change", () => {
      keepSetting("speed", speed.value);
      this.#setSpeed();
    });
    slider.addEventListener("focus", () => this.#draw(true));
    slider.addEventListener("input", () => {
      this.#isDragged = true; // a drag is one request, when it ends
      this.#draw(true);
    });
    slider.addEventListener("change", () => {
      this.#isDragged = false;
      this.#seek(Number(slider.value));
    });
  }

  get #isKnown() {
    return this.isLoaded && this.audio.readyState > 0;
  }

  get position() {
    return this.#isKnown ? this.audio.currentTime : this.#start;
  }

  get duration() {
    return (this.#isKnown && this.audio.duration) || Number(this.row?.duration ?? 0);
  }

  /** Put a row into the player, and ask for nothing yet. */
  hold(row, at = this.row === row ? this.position : recall(row.callSid)) {
    const before = this.row;
    this.#unload();
    this.#start = at ?? 0;
    if (before === row) return;
    this.row = row;
    if (before) this.#say("activity", { row: before, activity: "" });
    this.#picture(null);
    const { title, name, agent } = this.parts;
    title.href = `/calls/${row.callSid}`;
    name.textContent = row.about;
    agent.textContent = row.agent;
    this.hidden = false;
    this.refresh();
  }

  play(row) {
    this.hold(row);
    this.isLoaded = true;
    this.#heard = 0;
    this.audio.src = row.source;
    this.#setSpeed();
    this.#begin();
  }

  toggle() {
    if (!this.isLoaded) this.#say("press");
    else if (this.audio.paused) this.#begin();
    else this.audio.pause();
  }

  seekBy(seconds) {
    this.#seek(this.position + seconds);
  }

  refresh() {
    const { row, parts, words } = this;
    const isWhole = row.status === "ready";
    this.dataset.activity = row.activity;
    parts.toggle.ariaLabel = row.activity === "playing" ? words.pause : words.play;
    parts.download.hidden = !isWhole;
    parts.download.href = row.stream;
    this.#draw();
    if (isWhole && this.#isKnown && !this.pictured) this.#look(row);
  }

  /** To a screen reader, and to be seen. */
  tell(text, shown = text) {
    if (text === this.said) return;
    this.said = text;
    document.getElementById("announcer").textContent = `${this.parts.name.textContent}: ${text}`;
    this.parts.message.textContent = shown;
  }

  async #begin() {
    const { row } = this;
    // Any other failure has an "error" event of its own.
    const refused = await this.audio.play().catch(({ name }) => name === "NotAllowedError");
    if (refused && this.row === row) this.#say("activity", { row, activity: "paused" });
  }

  #unload() {
    this.#keepPlace();
    this.#start = this.position;
    this.isLoaded = false;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load(); // lets go of the connection
  }

  #close() {
    const { row } = this;
    this.#unload();
    this.row = null;
    this.hidden = true;
    this.#say("activity", { row, activity: "" });
    this.#say("close", { row });
  }

  #hear(type) {
    const { audio, row } = this;
    if (!this.isLoaded) return;
    if (type === "play") tabs.postMessage("");
    if (type === "play" && audio.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) return; // "playing" follows at once
    if (type === "pause" && (audio.ended || !audio.paused)) return; // no pause, or that of the row before
    this.#keepPlace();
    const activity = { playing: "playing", pause: "paused", ended: "" }[type] ?? "loading";
    this.#say("activity", { row, activity });
    if (type === "playing") this.#animate();
    if (type === "ended" && setting("auto")) this.#say("move", { by: 1 });
  }

  #fail() {
    const { row, audio, isLoaded } = this;
    const code = audio.error?.code;
    if (!isLoaded || !code) return; // put away since
    this.#unload();
    this.#say("failure", { row, code });
  }

  #follow() {
    const { audio } = this;
    if (!this.#isKnown || audio.paused) return;
    const now = audio.currentTime;
    this.#keepPlace();
    this.#heard += 1;
    if (this.#heard === 16) this.#say("heard"); // after some 4 s
    const silence = setting("skip") && this.#silences.find(([from, to]) => from + 0.3 < now && now < to - 0.5);
    if (silence) audio.currentTime = silence[1] - 0.2;
  }

  #keepPlace() {
    if (this.#isKnown) remember(this.row.callSid, this.audio.ended ? 0 : this.audio.currentTime);
  }

  #seek(seconds) {
    this.#start = Math.max(0, Math.min(seconds, this.duration));
    if (this.#isKnown && this.audio.currentTime !== this.#start) this.audio.currentTime = this.#start;
    this.#draw(true);
  }

  #setSpeed() {
    this.audio.defaultPlaybackRate = this.audio.playbackRate = Number(this.parts.speed.value);
  }

  #animate() {
    this.#draw();
    if (this.isLoaded && !this.audio.paused) requestAnimationFrame(() => this.#animate());
  }

  // A slider in focus is read out at each change of its text: only what its user does changes it.
  #draw(isAsked) {
    const { row, duration, words } = this;
    const { slider, elapsed, total } = this.parts;
    if (!row) return;
    const now = this.#isDragged ? Number(slider.value) : this.position;
    this.waveform.show({ played: now / duration, arrived: row.arrived });
    slider.max = duration;
    slider.value = now;
    const text = words.of.replace("{now}", clock(now)).replace("{all}", clock(duration));
    if (text === this.drawn && !isAsked) return;
    this.drawn = text;
    elapsed.textContent = clock(now);
    total.textContent = clock(duration);
    if (isAsked || document.activeElement !== slider) slider.ariaValueText = text;
  }

  async #look(row) {
    this.pictured = row;
    const picture = await peaks(row.callSid);
    if (picture && this.pictured === row) this.#picture(picture, row);
  }

  #picture(picture, row) {
    const lanes = picture?.lanes ?? [];
    this.pictured = row;
    this.#silences = picture ? silences(picture) : [];
    this.waveform.show({ lanes });
    this.parts.speakers.hidden = lanes.length !== 2;
    this.#mute([false, false]);
  }

  #mute(muted) {
    this.#muted = muted;
    if (muted.includes(true)) this.#speakers ??= new Speakers(this.audio);
    this.#speakers?.mute(muted);
    [...this.parts.speakers.children].forEach((button, which) => (button.ariaPressed = muted[which]));
  }

  #press(button) {
    const { by, which, part } = button?.dataset ?? {};
    const does = {
      toggle: () => this.toggle(),
      seek: () => this.seekBy(Number(by)),
      move: () => this.#say("move", { by: Number(by) }),
      mute: () => this.#mute(this.#muted.with(which, !this.#muted[which])),
      setting: () => keepSetting(part, (button.ariaPressed = button.ariaPressed !== "true")),
      more: () => (button.ariaExpanded = this.toggleAttribute("data-more")),
      copy: () => this.#copy(),
      help: () => this.parts.help.showModal(),
      close: () => this.#close(),
    };
    does[button?.dataset.do]?.();
  }

  async #copy() {
    const address = `${this.parts.title.href}?t=${Math.floor(this.position)}`;
    try {
      await navigator.clipboard.writeText(address);
      this.tell(this.words.copied.replace("{now}", clock(this.position)));
    } catch {
      prompt(this.words.copy, address); // the browser forbids it
    }
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

customElements.define("recording-player", RecordingPlayer);

// One call: what is known of its recording. Draws itself; asks nobody.

import { isComing } from "./waiting.js";

/** The next action on a recording. recordings/pages.py decides the same from the row. */
export function actionFor({ status, permanent, reason }, isManager) {
  if (status !== "failed") return "play";
  if (!permanent) return "retry";
  return isManager && reason !== "deleted" ? "force" : "";
}

export class Row {
  activity = ""; // "", loading, playing or paused
  problem = null; // { hint, action }: not the recording's own fault

  attach(element, press) {
    Object.assign(this, element.dataset, { element });
    this.isComing = "coming" in element.dataset;
    for (const part of ["label", "hint", "arriving"]) this[part] = element.querySelector(`[data-${part}]`);
    this.message = this.hint.textContent;
    for (const part of ["play", "retry"]) {
      this[part] = asButton(element.querySelector(`[data-${part}]`));
      this[part].addEventListener("click", () => press(this));
    }
  }

  get source() {
    return `${this.stream}?live=1${this.version ? `&v=${this.version}` : ""}`;
  }

  get arrived() {
    return this.status === "ready" ? 1 : this.bytes_total ? this.bytes_done / this.bytes_total : 0;
  }

  learn(payload, isManager) {
    const duration = payload.duration ?? this.duration;
    Object.assign(this, payload, { duration, isComing: isComing(payload), action: actionFor(payload, isManager) });
    if (payload.playable) this.message = ""; // the button says it
  }

  saying({ labels, words }) {
    if (this.problem) return [words.failed, this.problem.hint];
    if (!this.activity) return [labels[this.status], this.message];
    return [words[this.activity], this.activity === "loading" && this.isComing && this.status !== "missing" ? this.message : ""];
  }

  draw(texts) {
    const { element, status, activity, arriving, play, retry } = this;
    const { words } = texts;
    Object.assign(element.dataset, { status, activity });
    element.ariaBusy = activity === "loading";
    [this.label.textContent, this.hint.textContent] = this.saying(texts);
    const action = activity ? "play" : (this.problem ?? this).action;
    const hadFocus = [play, retry].includes(document.activeElement);
    play.hidden = action !== "play";
    retry.hidden = !play.hidden || !action;
    retry.textContent = action === "login" ? words.login : words.retry;
    play.ariaLabel = `${activity === "playing" ? words.pause : words.play}: ${this.about}`;
    retry.ariaLabel = `${retry.textContent}: ${this.about}`;
    arriving.hidden = status !== "downloading" || !this.bytes_total;
    arriving.value = this.arrived;
    if (hadFocus) (play.hidden ? retry : play).focus(); // the pressed one may have gone
  }
}

// The server draws links, which work without a script.
function asButton(link) {
  const button = document.createElement("button");
  button.type = "button";
  for (const { name, value } of link.attributes) if (name !== "href") button.setAttribute(name, value);
  button.append(...link.childNodes);
  link.replaceWith(button);
  return button;
}

// One call on the page: its Play button, its words, its next action. Draws what it is told; asks nobody.

/** The next action on a recording. recordings/pages.py decides the same from the row. */
export function actionFor(payload, isManager) {
  if (payload.status !== "failed") return "play";
  if (!payload.permanent) return "retry";
  return isManager && payload.reason !== "deleted" ? "force" : "";
}

export class Row {
  /** `element` carries data-recording, -status, -action, -about and -stream; `words` are the page's. */
  constructor(element, words) {
    this.element = element;
    this.words = words;
    this.callSid = element.dataset.recording;
    this.about = element.dataset.about;
    this.stream = element.dataset.stream;
    this.label = element.querySelector("[data-label]");
    this.hint = element.querySelector("[data-hint]");
    this.play = asButton(element.querySelector("[data-play]"));
    this.retry = asButton(element.querySelector("[data-retry]"));
    this.action = element.dataset.action;
  }

  get status() {
    return this.element.dataset.status;
  }

  get isPending() {
    return this.status === "queued" || this.status === "downloading";
  }

  /** Draw. `activity`: "", loading, playing or paused. `action`: play, retry, force, login or "". */
  show({ status = this.status, label, hint = "", action = this.action, activity = "" }) {
    Object.assign(this.element.dataset, { status, activity });
    this.action = action;
    this.label.textContent = label;
    this.hint.textContent = hint;
    const hadFocus = [this.play, this.retry].includes(document.activeElement);
    this.play.hidden = action !== "play";
    this.retry.hidden = action === "play" || action === "";
    this.#name(this.play, activity === "playing" ? this.words.pause : this.words.play);
    this.retry.textContent = action === "login" ? this.words.login : this.words.retry;
    this.#name(this.retry, this.retry.textContent);
    this.element.setAttribute("aria-busy", String(activity === "loading"));
    if (hadFocus) (this.play.hidden ? this.retry : this.play).focus(); // the button that was pressed may have gone
  }

  #name(button, verb) {
    button.setAttribute("aria-label", `${verb}: ${this.about}`);
  }
}

// The server draws links, which work without this script; with it they act at once and are buttons.
function asButton(link) {
  const button = document.createElement("button");
  button.type = "button";
  for (const { name, value } of link.attributes) if (name !== "href") button.setAttribute(name, value);
  button.append(...link.childNodes);
  link.replaceWith(button);
  return button;
}

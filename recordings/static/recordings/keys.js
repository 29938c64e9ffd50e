// Arrows move in time's direction, in every language.

import { setting } from "./places.js";

const TYPING = "input:not([type=range], [type=checkbox]), select, textarea";
const PRESSED = "button, a, [type=checkbox]"; // space is theirs

export function listen(player, move) {
  document.addEventListener("keydown", (event) => {
    const { target, shiftKey, ctrlKey, altKey, metaKey } = event;
    if (ctrlKey || altKey || metaKey || target.closest(TYPING) || document.querySelector("dialog[open]")) return;
    const seek = (seconds) => player.row && (() => player.seekBy(seconds));
    const far = shiftKey ? 15 : 5;
    const once = {
      space: player.row && !target.closest(PRESSED) && (() => player.toggle()),
      "?": () => player.parts.help.showModal(),
      n: () => move(1),
      p: () => move(-1),
    };
    const key = nameOf(event);
    const act = { arrowleft: seek(-far), arrowright: seek(far), j: seek(-15), l: seek(15), ...(event.repeat ? {} : once) }[key];
    if (!act || (key.length === 1 && setting("keys") === false)) return;
    event.preventDefault();
    act();
  });
}

// On a Hebrew keyboard a letter is meant by its place.
const nameOf = ({ key, code }) => (/^[a-z?]/i.test(key) ? key : code.replace("Key", "")).toLowerCase();

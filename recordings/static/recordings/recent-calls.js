// Recent calls, put together: pressing Play makes one request, then waits, then plays. Nothing is asked at page load.

import * as api from "./api.js";
import { Player } from "./player.js";
import { Row, actionFor } from "./row.js";
import { Waiting, decide } from "./waiting.js";

const { manager, labels, words } = JSON.parse(document.getElementById("player-words").textContent);
const announcer = document.getElementById("announcer");
const player = new Player(document.getElementById("player"));
const rows = new Map();
let wanted = null; // the row that was pressed last: it plays when it has come

const waiting = new Waiting({
  statuses: api.statuses,
  ask: api.ask,
  bystanders: () => [...rows.values()].filter((row) => row.isPending).map((row) => row.callSid),
  tell: (sid, payload, verdict) => take(rows.get(sid), payload, verdict),
  refuse: (sid, refusal) => explain(rows.get(sid), refusal),
});

for (const element of document.querySelectorAll("[data-without-script]")) element.remove();
for (const element of document.querySelectorAll("[data-recording]")) {
  const row = new Row(element, words);
  rows.set(row.callSid, row);
  row.play.addEventListener("click", () => press(row));
  row.retry.addEventListener("click", () => (row.action === "login" ? logIn() : press(row)));
}

player.addEventListener("state", ({ detail: { row, activity } }) => {
  const label = { loading: words.loading, playing: words.playing, paused: words.paused }[activity] ?? labels.ready;
  draw(row, { status: "ready", label, action: "play", activity });
});
player.addEventListener("failure", ({ detail: { row, code } }) => look(row, code));

async function press(row) {
  if (player.holds(row)) return player.toggle();
  wanted = row;
  player.stop();
  if (row.status === "ready") return player.play(row);
  const force = row.action === "force";
  const asked = row.element.dataset.activity === "loading";
  draw(row, { label: words.loading, hint: words.asking, action: "play", activity: "loading" });
  if (asked) return undefined; // it is under way, and now it is the one that plays
  try {
    const payload = await api.ask(row.callSid, { force });
    take(row, payload, decide(payload, 0));
  } catch (refusal) {
    explain(row, refusal);
  }
  return undefined;
}

// Hear what the server says of a row, and do what follows from it.
function take(row, payload, verdict) {
  const status = payload.status;
  if (verdict === "done") {
    waiting.drop(row.callSid);
    draw(row, { status, label: labels.ready, action: "play" });
    if (wanted === row) player.play(row);
  } else if (verdict === "wait" || verdict === "ask") {
    const label = wanted === row ? words.loading : labels[status];
    draw(row, { status, label, hint: payload.message, action: "play", activity: "loading" });
    if (!waiting.has(row.callSid)) waiting.add(row.callSid, payload);
  } else if (verdict === "give up") {
    draw(row, { status, label: labels[status], hint: words.slow, action: "retry" });
  } else {
    draw(row, { status, label: labels[status], hint: payload.message, action: actionFor(payload, manager) });
  }
}

// The sound broke off or never came. Its status tells whether the recording is at fault, or we are.
async function look(row, code) {
  draw(row, { label: words.loading, action: "play", activity: "loading" });
  try {
    const payload = (await api.statuses([row.callSid]))[row.callSid];
    if (!payload) throw new api.Refusal("not_found");
    if (!payload.playable) return take(row, payload, decide(payload, 0));
    const hint = code === MediaError.MEDIA_ERR_NETWORK ? words.cut : words.unplayable;
    return draw(row, { status: "ready", label: words.failed, hint, action: "retry" });
  } catch (refusal) {
    return explain(row, refusal);
  }
}

function explain(row, refusal) {
  const hint = refusal.message || words[refusal.kind] || words.unreachable;
  const action = { logged_out: "login", not_found: "", refused: row.action === "force" ? "force" : "retry" }[refusal.kind] ?? "retry";
  draw(row, { label: words.failed, hint, action });
}

function draw(row, state) {
  const before = row.label.textContent + row.hint.textContent;
  row.show(state);
  const after = row.label.textContent + row.hint.textContent;
  if (row === wanted && before !== after) announcer.textContent = `${row.about}: ${state.label}. ${state.hint ?? ""}`;
}

function logIn() {
  const here = location.pathname + location.search;
  location.assign(`/login/?next=${encodeURIComponent(here)}`);
}

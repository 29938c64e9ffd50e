// The pages of calls, put together. Loading makes no request, and pressing Play one.

import * as api from "./api.js";
import { News } from "./events.js";
import { listen } from "./keys.js";
import * as navigation from "./navigation.js";
import { recall, remember } from "./places.js";
import "./player.js";
import { Row } from "./row.js";
import { Waiting, decide } from "./waiting.js";

const player = document.querySelector("recording-player");
const { manager, words } = player;
let rows = []; // of this page
let list = []; // of the last list
let awaited = null; // was pressed and is not heard yet
let lives; // how often it may begin again by itself
let timer;

const waiting = new Waiting({ ...api, tell: take, refuse: (sid, refusal) => explain(find(sid), refusal) });
const news = new News({ tell: (payload) => take(payload.call_sid, payload), lost: follow });

const on = (type, act) => player.addEventListener(type, ({ detail }) => act(detail));
on("activity", ({ row, activity }) => {
  row.activity = activity;
  if (activity === "playing") {
    awaited = null;
    follow();
  }
  draw(row);
});
on("failure", look);
on("press", () => press(player.row));
on("move", ({ by }) => move(by));
on("heard", () => {
  lives = 2;
  const next = neighbour(1); // fetched while this one is heard
  if (next?.status === "missing") api.ask(next.callSid).then((payload) => take(next.callSid, payload), () => {});
});
on("close", ({ row }) => {
  awaited = null;
  row.play.focus();
  follow();
});

arrive();
navigation.start(() => {
  arrive();
  follow();
});
listen(player, move);

const last = rows.find((row) => row.callSid === recall("loaded"));
if (last && !player.row) player.hold(last);
addEventListener("pagehide", () => remember("loaded", player.row?.callSid ?? null));

timer = setTimeout(follow, 2000);
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) timer = setTimeout(() => awaited || news.follow([]), 60_000);
  else follow();
});

function arrive() {
  for (const element of document.querySelectorAll("[data-without-script]")) element.remove();
  rows = [...document.querySelectorAll("[data-recording]")].map((element) => {
    const row = find(element.dataset.callSid) ?? new Row();
    row.attach(element, press);
    if (row.activity || row.problem) draw(row);
    return row;
  });
  const back = document.querySelector(".back a");
  if (back) back.search = recall("list") ?? "";
  else remember("list", location.search);
  if (!back) list = rows;
  else if (rows[0] && !player.row) player.hold(rows[0], rows[0].at && Number(rows[0].at));
}

function find(sid) {
  return [player.row, ...rows, ...list].find((row) => row?.callSid === sid);
}

async function press(row) {
  if (row.problem?.action === "login") return location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (player.row === row && player.isLoaded) return player.toggle();
  lives = 2;
  row.problem = null;
  if (row.status !== "failed") return play(row);
  begin(row);
  try {
    take(row.callSid, await api.ask(row.callSid, { force: row.action === "force" }));
    if (awaited === row && !player.isLoaded) play(row);
  } catch (refusal) {
    explain(row, refusal);
  }
}

function begin(row) {
  awaited = row;
  row.activity = "loading";
  player.hold(row);
  draw(row);
}

function play(row) {
  if (row.status !== "ready") row.isComing = true;
  begin(row);
  player.play(row);
  clearTimeout(timer);
  timer = setTimeout(follow, 1000); // first the sound, then the news of it
}

function follow(payload) {
  clearTimeout(timer);
  const coming = [...new Set([player.row, ...rows])].filter((row) => row?.isComing).map((row) => row.callSid);
  const again = awaited?.status === "missing" && !player.isLoaded ? [awaited.callSid] : [];
  waiting.keep(news.follow(coming) ? again : [...coming, ...again], payload);
}

function take(sid, payload, verdict = decide(payload)) {
  const row = find(sid);
  if (!row) return;
  const isWanted = row === awaited && !player.isLoaded;
  row.learn(payload, manager);
  if (isWanted && verdict === "done") return play(row);
  if (verdict === "give up") {
    row.isComing = false;
    if (isWanted) row.problem = { hint: words.slow, action: "retry" };
  }
  if (isWanted && (verdict === "stop" || verdict === "give up")) {
    awaited = null;
    row.activity = "";
  }
  draw(row);
  follow(payload);
}

// The sound broke off, or never came.
async function look({ row, code }) {
  const { callSid, status, version } = row;
  const isCut = code === MediaError.MEDIA_ERR_NETWORK;
  begin(row);
  try {
    let payload = (await api.statuses([callSid]))[callSid];
    if (!payload) throw new api.Refusal("not_found");
    if (decide(payload) === "ask") payload = await api.ask(callSid);
    const isNew = payload.playable && (status !== "ready" || version !== payload.version);
    if (awaited === row && (isNew || (isCut && decide(payload) !== "stop")) && lives-- > 0) {
      row.learn(payload, manager);
      return play(row);
    }
    if (!payload.playable) return take(callSid, payload);
    throw new api.Refusal(isCut ? "cut" : "unplayable");
  } catch (refusal) {
    explain(row, refusal);
  }
}

function explain(row, { kind, message }) {
  if (!row) return;
  if (awaited === row) awaited = null;
  const action = { logged_out: "login", not_found: "" }[kind] ?? "retry";
  Object.assign(row, { problem: { hint: (kind === "refused" && message) || words[kind], action }, activity: "", isComing: false });
  draw(row);
}

function draw(row) {
  row.draw(player);
  if (row !== player.row) return;
  const [label, hint] = row.saying(player);
  const isCalm = !row.problem && (row.status === "ready" || row.activity) && row.activity !== "loading";
  player.refresh();
  player.tell(`${label}. ${hint}`, isCalm ? "" : hint || label);
}

const canFollow = ({ action }) => action === "play" || action === "retry";

function neighbour(by) {
  const at = list.indexOf(player.row);
  const ahead = by > 0 ? list.slice(at + 1) : list.slice(0, Math.max(0, at)).reverse();
  return ahead.find(canFollow);
}

async function move(by) {
  let next = neighbour(by);
  const more = document.querySelector(`.pages [rel=${by > 0 ? "next" : "prev"}]`);
  if (!next && more && (await navigation.visit(more.href))) next = list[by > 0 ? "find" : "findLast"](canFollow);
  if (!next) return player.tell(words.last);
  press(next);
  next.element.scrollIntoView({ block: "nearest" });
}


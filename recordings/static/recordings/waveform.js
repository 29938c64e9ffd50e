// A recording as bars of loudness, or as a plain line.

const BAR = 2; // px
const STEP = 3;

/** 0:07, 12:34, 1:02:03, as recordings/pages.py writes it. */
export function clock(seconds) {
  const pad = (number) => String(Math.floor(number)).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(seconds % 60)}`;
}

/** The parts, [from, to] in seconds, in which nobody speaks for more than a second. */
export function silences({ duration, lanes }) {
  const slice = duration / lanes[0].length;
  const quiet = Math.max(2, Math.max(...lanes.flat()) / 20);
  const found = [];
  let from = 0;
  for (let at = 0; at <= lanes[0].length; at += 1) {
    if (lanes.every((lane) => lane[at] <= quiet)) continue; // but the end is
    if ((at - from) * slice > 1) found.push([from * slice, at * slice]);
    from = at + 1;
  }
  return found;
}

export class Waveform {
  lanes = [];
  played = 0; // 0 to 1
  arrived = 1;
  #isPlanned = false;

  /** Its colours are styles: color (to come), outline-color (played), border-color (the second speaker's). */
  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.#plan()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plan());
  }

  show({ lanes = this.lanes, played = this.played, arrived = this.arrived }) {
    const isSame = lanes === this.lanes && arrived === this.arrived;
    if (isSame && Math.abs(played - this.played) * this.canvas.width < 1) return;
    Object.assign(this, { lanes, played, arrived });
    this.#plan();
  }

  #plan() {
    if (!this.#isPlanned) requestAnimationFrame(() => this.#draw());
    this.#isPlanned = true;
  }

  #draw() {
    this.#isPlanned = false;
    const { canvas, lanes } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    const { color, outlineColor, borderTopColor } = getComputedStyle(canvas);
    const middle = height / 2;
    const loudest = Math.max(1, ...lanes.flat());
    for (let x = 0; x < width; x += STEP) {
      const at = x / width;
      const bar = (top, high, wide, played) => {
        pen.fillStyle = at < this.played ? played : color;
        pen.globalAlpha = at < this.arrived ? 1 : 0.35;
        pen.fillRect(x, top, wide, high);
      };
      const [upper, lower] = lanes.map((lane) => {
        const loud = lane.slice(at * lane.length, Math.max(1 + at * lane.length, (at + STEP / width) * lane.length));
        return Math.max(1, (Math.max(...loud) / loudest) * middle);
      });
      if (lower) bar(middle, lower, BAR, borderTopColor);
      if (upper) bar(middle - upper, lower ? upper : 2 * upper, BAR, outlineColor);
      else bar(middle - 2, 4, STEP, outlineColor);
    }
  }
}

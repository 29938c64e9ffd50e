// Only <main> is exchanged, and the player plays on.

const OURS = /^\/(calls\/[^/]+)?$/;
const root = document.documentElement;
const here = () => location.pathname + location.search;
let shown = here();
let under;
let arrive;

export function start(onArrival) {
  arrive = onArrival;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || link.hash || link.origin !== location.origin || !OURS.test(link.pathname)) return;
    if (event.button || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    visit(link.href);
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".filters")) return;
    event.preventDefault();
    const query = new URLSearchParams([...new FormData(event.target)].filter(([, value]) => value));
    visit(`/?${query.size ? query : "all=1"}`);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.matches(".filters select")) target.form.requestSubmit();
  });
  addEventListener("popstate", ({ state }) => {
    if (here() !== shown) visit(location.href, state ?? { y: 0 });
  });
}

/** `back`: the state of a page that was seen before. Answers whether the page stands there. */
export async function visit(address, back) {
  under?.abort();
  const mine = (under = new AbortController());
  root.toggleAttribute("data-visiting", true);
  try {
    const response = await fetch(address, { signal: mine.signal });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (mine.signal.aborted) return false;
    if (fingerprint(page) !== fingerprint(document)) throw new Error();
    if (!back) {
      history.replaceState({ y: scrollY }, "");
      history.pushState(null, "", response.url);
    }
    shown = here();
    exchange(page);
    scrollTo(0, back?.y ?? 0);
    root.removeAttribute("data-visiting");
    return true;
  } catch {
    if (!mine.signal.aborted) location.assign(address);
    return false;
  }
}

// Differs for another release, another language and the login.
const fingerprint = (page) => page.querySelector("script[type=module]")?.getAttribute("src") + page.documentElement.lang;

function exchange(page) {
  const focused = document.activeElement;
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  for (const next of document.querySelectorAll(".languages [name=next]")) next.value = shown;
  arrive();
  if (focused.isConnected && focused !== document.body) return;
  (document.getElementById(focused.id || "content") ?? document.getElementById("content")).focus({ preventScroll: true });
}

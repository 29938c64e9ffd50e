"""How long from pressing Play to sound, in a real Chromium: our page, against an <audio> straight on the provider.

    .venv/bin/python -m benchmarks.click_to_sound --rounds 7

The recording is cold each time: 4.8 MB of MP3, from a provider that sends its first byte after 300 ms and then 1 MB/s.
Both are clicks on a page that is there; the time is from the click to the media element's `playing`. A round measures
one of each; what is printed are medians, and their ratio.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from demo.library import Audio, load
from demo.provider import Provider
from demo.service import Service, prepare
from recordings.tests.living import PASSWORD, Customer, customer

FIRST_BYTE, BYTES_PER_SECOND = 0.3, 1_000_000
DIRECT = "<button>Play</button><audio preload=none src='{url}'></audio><script>{script}</script>"
PLAY = "document.querySelector('button').onclick = () => document.querySelector('audio').play();"
WATCH = """() => {
  addEventListener("click", () => { window.clicked ??= performance.now(); }, { capture: true });
  document.addEventListener("playing", () => { window.heard ??= performance.now(); }, { capture: true });
}"""


def recording(provider: Provider, name: str) -> None:
    """Let the provider have ten minutes of MP3 under this name, as slow as said."""
    body = load("long-mono-cbr").body
    provider.put(name, Audio(body * 2, "audio/mpeg"))
    provider.misbehave(name, "slow", bytes_per_second=BYTES_PER_SECOND)


def milliseconds(page: Page, button: str) -> float:
    """From the click on this to `playing`."""
    page.evaluate(WATCH)
    page.locator(button).first.click()
    page.wait_for_function("() => window.heard", timeout=30_000) if button == "button" else _heard(page)
    return float(page.evaluate("window.heard - window.clicked"))


def _heard(page: Page) -> None:
    """Our page forbids what `wait_for_function` evaluates."""
    page.locator("recording-player[data-activity=playing]").wait_for(timeout=30_000)
    while not page.evaluate("Boolean(window.heard)"):
        page.wait_for_timeout(20)


def direct(browser: Browser, provider: Provider, name: str) -> float:
    """An <audio> on the provider itself."""
    recording(provider, name)
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content(DIRECT.format(url=provider.url(name, "mp3"), script=PLAY))
        return milliseconds(page, "button")


def ours(page: Page, acme: Customer, name: str) -> float:
    """Play on our page, of a recording that nobody has asked for."""
    recording(acme.provider, name)
    acme.import_recordings({name: name})
    page.goto(f"{acme.service.url}/?search={name}")
    return milliseconds(page, f"#call-{name} [data-play]")


def log_in(page: Page, acme: Customer) -> None:
    """As the member that `customer` made."""
    page.goto(acme.service.url)
    page.fill("[name=username]", f"{acme.slug}-program")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{acme.service.url}/")


def main() -> None:
    """Alternate both, on one service and one browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with tempfile.TemporaryDirectory() as folder, Provider(auth="none", latency=FIRST_BYTE) as provider:
        prepare(Path(folder) / "var")
        service = Service(Path(folder) / "var", environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        service.start()
        try:
            acme = customer(service, provider)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
                page = browser.new_page()
                log_in(page, acme)
                ours(page, acme, "warming-up")
                pairs = [(direct(browser, provider, f"d{n}"), ours(page, acme, f"ours-{n}")) for n in range(rounds)]
                browser.close()
        finally:
            service.stop()
            service.kill()
    straight, through = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"click → playing: straight on the provider {straight:.0f} ms; through us {through:.0f} ms")
    print(f"ratio: {through / straight:.2f}")


if __name__ == "__main__":
    main()

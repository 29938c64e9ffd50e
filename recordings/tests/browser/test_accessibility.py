"""axe finds nothing, in both languages, light and dark, wide and narrow, with all parts of the player open."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

from recordings.tests.browser.conftest import Visiting
from recordings.tests.browser.house import OPERATOR, House, Visit

pytestmark = pytest.mark.once

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder to keep pictures in, for people to look at."""

AXE = files("axe_playwright_python") / "axe.min.js"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def violations(here: Visit) -> list[str]:
    found = here.page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("locale", "scheme", "size"), [
    ("en-GB", "light", WIDE), ("en-GB", "dark", NARROW), ("he-IL", "light", NARROW), ("he-IL", "dark", WIDE),
])  # fmt: skip
def test_axe_finds_nothing(house: House, visiting: Visiting, locale: str, scheme: str, size: dict[str, int]) -> None:
    agent = f"axe-{locale}-{scheme}"
    sid, _ = house.call(agent, f"long-cbr-{agent}"), house.call(agent)
    house.provider.misbehave(f"hello-{agent}", "gone")
    failed = house.call(agent, f"hello-{agent}")
    with visiting(locale=locale, color_scheme=scheme, viewport=size, bypass_csp=True) as here:  # axe wants eval
        here.log_in(path=f"/?agent={agent}")
        here.page.add_script_tag(content=AXE.read_text())
        here.row(failed).locator("[data-play]").click()
        here.page.locator(f"#call-{failed}[data-status=failed]").wait_for()
        assert violations(here) == []
        here.row(sid).locator("[data-play]").click()
        here.hears(sid)
        here.player.locator("[data-part=speakers]").wait_for(state="attached")
        here.page.locator(f"#call-{sid}[data-status=ready]").wait_for()
        if size is NARROW:
            here.player.locator("[data-do=more]").click()
        here.player.locator("[data-which='1']").click()
        assert violations(here) == []
        if SCREENSHOTS:
            here.page.screenshot(path=Path(SCREENSHOTS) / f"{locale}-{scheme}-{size['width']}.png")
        assert here.page.evaluate("document.documentElement.scrollWidth") == size["width"]
        here.page.keyboard.press("?")
        assert violations(here) == []
        here.open(f"/calls/{sid}?t=192")
        here.page.add_script_tag(content=AXE.read_text())
        assert violations(here) == []


@pytest.mark.parametrize(("locale", "scheme", "size"), [("en-GB", "light", WIDE), ("he-IL", "dark", NARROW)])
def test_axe_finds_nothing_on_the_operators_page(
    house: House, visiting: Visiting, locale: str, scheme: str, size: dict[str, int]
) -> None:
    house.call(f"now-{locale}-{scheme}", "never-asked-for")
    house.service.sql(
        "UPDATE call_log SET recording_download_status = 'failed', recording_reason = 'gone', recording_permanent = %s "
        "WHERE agent = %s",
        True, f"now-{locale}-{scheme}",
    )  # fmt: skip
    with visiting(locale=locale, color_scheme=scheme, viewport=size, bypass_csp=True) as here:
        here.log_in(OPERATOR, "/admin/recordings/recording/now/")
        here.page.locator("summary").click()
        here.page.add_script_tag(content=AXE.read_text())
        assert violations(here) == []
        if SCREENSHOTS:
            name = f"now-{locale}-{scheme}-{size['width']}.png"
            here.page.screenshot(path=Path(SCREENSHOTS) / name, full_page=True)
        assert here.page.evaluate("document.documentElement.scrollWidth") == size["width"]
        here.page.locator("button.button").first.click()
        here.page.add_script_tag(content=AXE.read_text())
        assert violations(here) == []

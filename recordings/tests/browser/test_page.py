"""What the page is like in a real browser: what loading it costs, its pages, its languages, its narrow form."""

import pytest

from recordings.pages import PAGE_SIZE
from recordings.tests.browser.conftest import Visiting
from recordings.tests.browser.house import House

pytestmark = pytest.mark.once


def test_loading_a_full_page_asks_for_no_status_and_no_audio(house: House, visiting: Visiting) -> None:
    for number in range(PAGE_SIZE):
        house.call("full", f"hello-{number}")
    with visiting() as here:
        here.log_in(path="/?agent=full")
        here.page.wait_for_load_state("networkidle")
        assert here.page.locator("tr.call").count() == PAGE_SIZE
        assert here.page.get_by_role("button", name="Play").count() == PAGE_SIZE
        assert here.asked == []


def test_the_second_page_is_reached_and_left_again(house: House, visiting: Visiting) -> None:
    sids = [house.call("paged") for _ in range(PAGE_SIZE + 3)]
    with visiting() as here:
        here.log_in(path="/?agent=paged")
        ids = "Array.from(document.querySelectorAll('tr.call'), row => row.id.replace('call-', ''))"
        assert here.page.evaluate(ids) == sids[:PAGE_SIZE]
        here.page.get_by_role("link", name="Older calls").click()
        here.page.wait_for_url("**cursor=**")
        assert here.page.evaluate(ids) == sids[PAGE_SIZE:]
        here.page.get_by_role("link", name="Newer calls").click()
        here.page.locator(f"#call-{sids[0]}").wait_for()
        assert here.page.evaluate(ids) == sids[:PAGE_SIZE]


def test_a_search_by_a_national_number_finds_the_call(house: House, visiting: Visiting) -> None:
    sid = house.call("search")
    number = f"{int(sid.removeprefix('CA')):07}"
    with visiting() as here:
        here.log_in()
        here.page.get_by_label("Search").fill(f"054-{number}")
        here.page.get_by_role("button", name="Show").click()
        here.page.wait_for_url("**search=054-**")
        assert here.page.locator("tr.call").count() == 1
        assert f"+97254{number}" in here.row(sid).inner_text()


def test_hebrew_runs_from_right_to_left_and_can_be_switched(house: House, visiting: Visiting) -> None:
    sid = house.call("hebrew", "hello")
    with visiting(locale="he-IL") as here:
        here.pass_the_login(path="/?agent=hebrew")
        page = here.page
        assert page.locator("h1").inner_text() == "שיחות אחרונות"
        assert here.label(sid) == "לא הורדה"
        time, number = here.row(sid).locator("time").bounding_box(), here.row(sid).locator(".cell-from").bounding_box()
        assert time is not None
        assert number is not None
        assert time["x"] > number["x"]
        page.get_by_role("button", name="English").click()
        page.locator("h1", has_text="Recent calls").wait_for()
        assert page.url.endswith("/?agent=hebrew")


@pytest.mark.parametrize("locale", ["en-GB", "he-IL"])
def test_nothing_sticks_out_at_the_width_of_a_phone(house: House, visiting: Visiting, locale: str) -> None:
    house.call("A name that is rather long for so narrow a page", "hello")
    with visiting(viewport={"width": 360, "height": 740}, locale=locale) as here:
        here.log_in()
        assert here.page.evaluate("document.documentElement.scrollWidth") == 360
        assert here.page.locator("tr.call").first.is_visible()

"""recordings/plots.py: from numbers to SVG."""

import re
from xml.etree import ElementTree

import pytest

from recordings.plots import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Values, area, bars, compact, round_up, runs

SVG = "{http://www.w3.org/2000/svg}"
TICKS = [(0, "18:00"), (2, "00:00")]


def drawn(svg: str) -> ElementTree.Element:
    """Parsed as XML, which is stricter than HTML."""
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize(("value", "top"), [
    (0, 1), (0.03, 0.05), (1, 1), (1.01, 2), (3, 5), (5.5, 10), (10, 10), (999, 1000), (1_000_001, 2_000_000),
])  # fmt: skip
def test_an_axis_ends_at_the_next_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


@pytest.mark.parametrize(("value", "words"), [
    (0, "0"), (2.5, "2.5"), (950, "950"), (1000, "1k"), (12_500, "12.5k"), (2_000_000, "2M"), (5e9, "5G"),
])  # fmt: skip
def test_a_number_takes_few_characters(value: float, words: str) -> None:
    assert compact(value) == words


def test_what_is_not_known_splits_a_series() -> None:
    assert list(runs([None, 1, 2, None, None, 0, None])) == [[(1, 1), (2, 2)], [(5, 0)]]
    assert list(runs([None, None])) == []


@pytest.mark.parametrize("values", [[], [None, None], [0, 0, 0], [5, None, 10], [10.0] * 144])
@pytest.mark.parametrize("draw", [area, bars])
def test_every_plot_is_a_picture_with_a_title_and_a_description_and_no_style(draw: object, values: Values) -> None:
    assert callable(draw)
    svg = draw("name", values, TICKS, title="Ready & <well>", description="From 1 to 2")
    root = drawn(svg)
    assert root.get("role") == "img"
    texts = {child.get("id"): child.text for child in root if child.get("id")}
    assert [texts[part] for part in str(root.get("aria-labelledby")).split()] == ["Ready & <well>", "From 1 to 2"]
    assert not re.search(r"style|<script|\bon[a-z]+=|nan|inf", svg)


def test_an_area_holds_each_value_for_its_step_and_breaks_where_nothing_is_known() -> None:
    root = drawn(area("name", [10, None, 5, 0], TICKS, title="", description=""))
    first, second = (path.get("d") for path in root.iter(f"{SVG}path") if path.get("class") == "plot-line")
    step, floor, half = (WIDTH - LEFT - RIGHT) / 4, HEIGHT - 24, (TOP + HEIGHT - 24) / 2
    assert first == f"M{LEFT} {TOP}L{LEFT + step:g} {TOP}"
    assert second == f"M{LEFT + 2 * step:g} {half:g}L{LEFT + 3 * step:g} {half:g}L{LEFT + 3 * step:g} {floor}" + (
        f"L{WIDTH - RIGHT} {floor}"
    )


def test_bars_are_as_high_as_their_values_and_nothing_stands_where_nothing_happened() -> None:
    root = drawn(bars("name", [10, 0, None, 5], TICKS, title="", description=""))
    assert [bar.get("height") for bar in root.iter(f"{SVG}rect")] == ["86", "43"]


def test_the_axes_say_their_numbers_and_times() -> None:
    root = drawn(bars("name", [1500.0, 2.0, 3.0], TICKS, title="", description=""))
    assert [text.text for text in root.iter(f"{SVG}text")] == ["0", "1k", "2k", "18:00", "00:00"]

"""From numbers to SVG: small plots of a day, drawn on the server.

Nothing but numbers and clock times stands in a plot, and those read from left to right in every language; its words are
the title and the description, which screen readers read. Colours are the style sheet's: no style attribute, which the
pages' policy forbids.
"""

import math
from collections.abc import Iterator, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 360, 120
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24
"""Margins around the plot, for the labels."""

Values = Sequence[float | None]
"""One for each step of time, the oldest first; None where nothing is known."""

Ticks = Sequence[tuple[int, str]]
"""Which steps have a label below them, and it."""


def area(name: str, values: Values, ticks: Ticks, *, title: str, description: str) -> SafeString:
    """How much there was of something, step by step; a gap where it is not known. `name` is unique in its page."""
    top = round_up(_largest(values))
    marks = [
        format_html('<path class="plot-area" d="{}"/><path class="plot-line" d="{}"/>', *_paths(run, len(values), top))
        for run in runs(values)
    ]
    return _framed(name, SafeString("".join(marks)), top, ticks, len(values), title, description)


def bars(name: str, values: Values, ticks: Ticks, *, title: str, description: str) -> SafeString:
    """How often something happened in each step; nothing is drawn where it did not. `name` is unique in its page."""
    top, wide = round_up(_largest(values)), _across(1, len(values)) - _across(0, len(values))
    marks = format_html_join(
        "",
        '<rect class="plot-bar" x="{}" y="{}" width="{}" height="{}"/>',
        (
            (_short(_across(step, len(values))), _short(_up(value, top)), _short(wide * 0.8), _short(_high(value, top)))
            for step, value in enumerate(values)
            if value
        ),
    )
    return _framed(name, marks, top, ticks, len(values), title, description)


def round_up(value: float) -> float:
    """The next round number, 1, 2 or 5 with noughts, at which an axis may end; 1 for nothing."""
    if value <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def compact(value: float) -> str:
    """A number in few characters: 950, 12k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def runs(values: Values) -> Iterator[list[tuple[int, float]]]:
    """The stretches without a gap, each as steps with their values."""
    run: list[tuple[int, float]] = []
    for step, value in enumerate(values):
        if value is not None:
            run.append((step, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _paths(run: list[tuple[int, float]], steps: int, top: float) -> tuple[str, str]:
    """The filled shape of one stretch, and the line on top of it; each value holds for the whole of its step."""
    points = [
        f"{_short(_across(edge, steps))} {_short(_up(value, top))}" for step, value in run for edge in (step, step + 1)
    ]
    line, floor = "M" + "L".join(points), _short(_up(0, top))
    first, last = _short(_across(run[0][0], steps)), _short(_across(run[-1][0] + 1, steps))
    return f"{line}L{last} {floor}L{first} {floor}Z", line


def _framed(
    name: str, marks: SafeString, top: float, ticks: Ticks, steps: int, title: str, description: str
) -> SafeString:
    lines = format_html_join(
        "",
        '<line class="plot-grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        '<text class="plot-label" x="{at}" y="{below}" text-anchor="end">{words}</text>',
        (
            {
                "left": LEFT, "right": WIDTH - RIGHT, "y": _short(_up(value, top)), "at": LEFT - 6,
                "below": _short(_up(value, top) + 4), "words": compact(value),
            }
            for value in (0, top / 2, top)
        ),
    )  # fmt: skip
    clock = format_html_join(
        "",
        '<text class="plot-label" x="{}" y="{}" text-anchor="middle">{}</text>',
        ((_short(_across(step, steps)), HEIGHT - 4, words) for step, words in ticks),
    )
    return format_html(
        '<svg class="plot" viewBox="0 0 {width} {height}" role="img" direction="ltr"'
        ' aria-labelledby="{name}-title {name}-description">'
        '<title id="{name}-title">{title}</title><desc id="{name}-description">{description}</desc>'
        "{lines}{marks}{clock}</svg>",
        width=WIDTH, height=HEIGHT, name=name, title=title, description=description, lines=lines, marks=marks,
        clock=clock,
    )  # fmt: skip


def _largest(values: Values) -> float:
    return max((value for value in values if value is not None), default=0)


def _across(step: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / max(1, steps)


def _high(value: float, top: float) -> float:
    return (HEIGHT - TOP - BOTTOM) * value / top


def _up(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - _high(value, top)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")

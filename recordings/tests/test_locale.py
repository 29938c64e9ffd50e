"""The Hebrew of the pages: complete, and compiled from what stands in the .po."""

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "locale" / "he" / "LC_MESSAGES"
OF_PEOPLE = ("templates/", "recordings/pages.py", "recordings/status.py", "recordings/reasons.py", "calls/models.py")
"""Where the words of the pages come from; what only operators read on a console may stay English."""

ENTRY = re.compile(r'((?:^#.*\n)*)^msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', re.MULTILINE)


def entries() -> list[tuple[str, str, str]]:
    """Of each message of the .po: where it is used, the English, the Hebrew."""
    found = ENTRY.findall((FOLDER / "django.po").read_text())
    return [(places, joined(english), joined(hebrew)) for places, english, hebrew in found if joined(english)]


def joined(literals: str) -> str:
    return "".join(ast.literal_eval(line) for line in literals.splitlines())


def test_every_word_of_the_pages_is_there_in_hebrew() -> None:
    used = [entry for entry in entries() if any(place in entry[0] for place in OF_PEOPLE)]
    assert len(used) > 100
    assert [english for _, english, hebrew in used if not hebrew] == []


def test_what_is_filled_in_is_the_same_in_both_languages() -> None:
    def names(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)[sd]|</?bdi[^>]*>", text))

    assert [english for _, english, hebrew in entries() if hebrew and names(english) != names(hebrew)] == []


@pytest.mark.parametrize("wrong", ["#, fuzzy", "#~ "])
def test_nothing_is_left_over_from_a_merge(wrong: str) -> None:
    assert wrong not in (FOLDER / "django.po").read_text()


def test_the_compiled_messages_are_those_of_the_po() -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stale = [english for _, english, hebrew in entries() if hebrew and compiled.gettext(english) != hebrew]
    assert stale == []

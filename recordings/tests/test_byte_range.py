import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordings.playback.byte_range import (
    ByteRange,
    RangeNotSatisfiable,
    if_range_holds,
    is_not_modified,
    parse_range,
    unsatisfied_range,
)

ETAG = '"65f1a2b3-c8"'
LAST_MODIFIED = "Wed, 13 Mar 2024 12:57:23 GMT"
MODIFIED = 1710334643


def asked(header: str | None, size: int) -> tuple[int, int] | str:
    """(start, stop), "whole" or "unsatisfiable"."""
    try:
        part = parse_range(header, size)
    except RangeNotSatisfiable:
        return "unsatisfiable"
    return (part.start, part.stop) if part else "whole"


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        # one range
        ("bytes=0-", 10, (0, 10)),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-1", 10, (0, 2)),
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-10", 10, (0, 10)),
        ("bytes=0-20", 10, (0, 10)),
        ("bytes=2-", 10, (2, 10)),
        ("bytes=5-5", 10, (5, 6)),
        ("bytes=9-", 10, (9, 10)),
        ("bytes=9-9", 10, (9, 10)),
        ("bytes=9-10", 10, (9, 10)),
        ("bytes=0-0", 1, (0, 1)),
        ("bytes=00-09", 10, (0, 10)),
        (f"bytes=0-{'9' * 100}", 10, (0, 10)),
        ("bytes=0-18446744073709551615", 10, (0, 10)),
        # the last bytes
        ("bytes=-1", 10, (9, 10)),
        ("bytes=-5", 10, (5, 10)),
        ("bytes=-10", 10, (0, 10)),
        ("bytes=-15", 10, (0, 10)),
        ("bytes=-2", 1, (0, 1)),
        (f"bytes=-{'9' * 100}", 10, (0, 10)),
        # nothing there
        ("bytes=10-", 10, "unsatisfiable"),
        ("bytes=10-10", 10, "unsatisfiable"),
        ("bytes=11-20", 10, "unsatisfiable"),
        ("bytes=-0", 10, "unsatisfiable"),
        ("bytes=-00", 10, "unsatisfiable"),
        (f"bytes={'9' * 100}-", 10, "unsatisfiable"),
        ("bytes=18446744073709551616-", 10, "unsatisfiable"),
        # an empty recording
        ("bytes=0-", 0, "unsatisfiable"),
        ("bytes=0-0", 0, "unsatisfiable"),
        ("bytes=-0", 0, "unsatisfiable"),
        ("bytes=-1", 0, "whole"),
        (None, 0, "whole"),
        # malformed: as if it were not there
        (None, 10, "whole"),
        ("", 10, "whole"),
        ("bytes", 10, "whole"),
        ("bytes=", 10, "whole"),
        ("bytes=-", 10, "whole"),
        ("bytes=--1", 10, "whole"),
        ("bytes=1", 10, "whole"),
        ("bytes=5-4", 10, "whole"),
        ("bytes=20-15", 10, "whole"),
        ("bytes=+1-2", 10, "whole"),
        ("bytes=1-+2", 10, "whole"),
        ("bytes=-+1", 10, "whole"),
        ("bytes=0x1-0x2", 10, "whole"),
        ("bytes=1_0-", 100, "whole"),
        ("bytes=1.0-2", 10, "whole"),
        ("bytes=a-b", 10, "whole"),
        ("bytes=1-b", 10, "whole"),
        ("bytes=1-2-3", 10, "whole"),
        ("bytes=0 - 1", 10, "whole"),
        ("bytes =0-1", 10, "whole"),
        (" bytes=0-1", 10, "whole"),
        ("bytes:0-1", 10, "whole"),
        ("bytes 0-1", 10, "whole"),
        ("bytes=0-1\n", 10, "whole"),
        ("bytes=0-1;x", 10, "whole"),
        ("bytes=٠-١", 10, "whole"),
        ("bytes=０-１", 10, "whole"),
        ("bytes=²-", 10, "whole"),
        ("byteſ=0-1", 10, "whole"),
        (f"bytes={'9' * 5000}-", 10, "whole"),
        # another unit
        ("items=0-1", 10, "whole"),
        ("seconds=0-", 10, "whole"),
        ("keks=0-1", 10, "whole"),
        ("none", 10, "whole"),
        # blanks, case, empty elements
        ("bytes=0-1 ", 10, (0, 2)),
        ("bytes= 0-1", 10, (0, 2)),
        ("bytes=\t0-1\t", 10, (0, 2)),
        ("Bytes=0-1", 10, (0, 2)),
        ("BYTES=0-1", 10, (0, 2)),
        ("bytes=0-1,", 10, (0, 2)),
        ("bytes=, ,0-1 ,,", 10, (0, 2)),
        ("bytes=,", 10, "whole"),
        # several
        ("bytes=0-1,2-3", 10, "whole"),
        ("bytes=0-0,-1", 10, "whole"),
        ("bytes=0-,0-,0-", 10, "whole"),
        ("bytes=20-,30-", 10, "whole"),
        ("bytes=0-1,x", 10, "whole"),
    ],
)
def test_a_range_header_asks_for(header: str | None, size: int, expected: tuple[int, int] | str) -> None:
    assert asked(header, size) == expected


def naive(first: int | None, last: int | None, size: int) -> tuple[int, int] | str:
    """What RFC 9110 §14.1.2 selects, found by looking at every byte."""
    if first is not None and last is not None and last < first:
        return "whole"
    if first is None:
        assert last is not None
        chosen = [at for at in range(size) if at >= size - last]
        if size == 0 and last > 0:
            return "whole"
    else:
        chosen = [at for at in range(size) if at >= first and (last is None or at <= last)]
    return (chosen[0], chosen[-1] + 1) if chosen else "unsatisfiable"


NUMBERS = st.integers(0, 40) | st.integers(0, 10**60)


@given(first=st.none() | NUMBERS, last=st.none() | NUMBERS, size=st.integers(0, 35), zeros=st.integers(0, 3))
def test_one_range_selects_what_a_naive_reader_of_the_rfc_selects(
    first: int | None, last: int | None, size: int, zeros: int
) -> None:
    def written(number: int | None) -> str:
        return "" if number is None else "0" * zeros + str(number)

    header = f"bytes={written(first)}-{written(last)}"
    expected = "whole" if first is None and last is None else naive(first, last, size)
    assert asked(header, size) == expected


@given(header=st.text() | st.from_regex(r"bytes=[0-9 ,\t-]*", fullmatch=True), size=st.integers(0, 10**12))
@example("bytes=" + "9" * 249, 10)
def test_any_text_selects_bytes_that_exist_or_nothing(header: str, size: int) -> None:
    found = asked(header, size)
    if isinstance(found, tuple):
        start, stop = found
        assert 0 <= start < stop <= size
        assert re.match("(?i)bytes=", header)
        assert ByteRange(start, stop).length == stop - start


def test_content_range_names_the_last_byte_not_the_stop() -> None:
    assert ByteRange(0, 1).content_range(10) == "bytes 0-0/10"
    assert ByteRange(9, 10).content_range(10) == "bytes 9-9/10"
    assert unsatisfied_range(10) == "bytes */10"


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (None, True),
        (ETAG, True),
        (f" {ETAG}\t", True),
        (LAST_MODIFIED, True),
        (f"W/{ETAG}", False),
        ('"another"', False),
        (ETAG.strip('"'), False),
        (ETAG.upper(), False),
        (f"{ETAG}, {ETAG}", False),
        ("*", False),
        ("", False),
        ('"', False),
        ("Wed, 13 Mar 2024 12:57:22 GMT", False),
        ("Wed, 13 Mar 2024 12:57:24 GMT", False),
        ("Wednesday, 13-Mar-24 12:57:23 GMT", False),
        ("Wed, 13 Mar 2024 12:57:23 +0000", False),
    ],
)
def test_if_range_holds_for_exactly_this_version(header: str | None, holds: bool) -> None:
    assert if_range_holds(header, ETAG, LAST_MODIFIED) is holds


def test_if_range_never_holds_for_a_weak_version_of_ours() -> None:
    assert not if_range_holds(f"W/{ETAG}", f"W/{ETAG}", LAST_MODIFIED)


@pytest.mark.parametrize(
    ("if_none_match", "if_modified_since", "not_modified"),
    [
        (None, None, False),
        (ETAG, None, True),
        (f"W/{ETAG}", None, True),
        ("*", None, True),
        (" * ", None, True),
        ('"other"', None, False),
        (f'"other", {ETAG}', None, True),
        (f'"other" ,W/{ETAG},', None, True),
        (f',, "a,b" , {ETAG}', None, True),
        ('"a,b"', None, False),
        (ETAG.strip('"'), None, False),
        (f"w/{ETAG}", None, False),
        (f'"other" {ETAG}', None, False),
        (f'"open, {ETAG}', None, False),
        (f"{ETAG}, broken", None, False),
        ("", None, False),
        (None, LAST_MODIFIED, True),
        (None, "Wed, 13 Mar 2024 12:57:24 GMT", True),
        (None, "Wed, 13 Mar 2024 12:57:22 GMT", False),
        (None, "Wednesday, 13-Mar-24 12:57:23 GMT", True),
        (None, "Wed Mar 13 12:57:23 2024", True),
        (None, "yesterday", False),
        (None, "Wed, 99 Mar 2024 12:57:23 GMT", False),
        (None, "", False),
        ('"other"', LAST_MODIFIED, False),
        (ETAG, "Wed, 13 Mar 2024 12:57:22 GMT", True),
        ("", LAST_MODIFIED, False),
    ],
)
def test_304_is_for_who_has_this_version(
    if_none_match: str | None, if_modified_since: str | None, not_modified: bool
) -> None:
    assert is_not_modified(if_none_match, if_modified_since, ETAG, MODIFIED) is not_modified


@given(if_none_match=st.none() | st.text(), if_modified_since=st.none() | st.text(), if_range=st.text())
def test_no_precondition_can_break_the_parser(
    if_none_match: str | None, if_modified_since: str | None, if_range: str
) -> None:
    is_not_modified(if_none_match, if_modified_since, ETAG, MODIFIED)
    assert if_range_holds(if_range, ETAG, LAST_MODIFIED) is (if_range.strip(" \t") in (ETAG, LAST_MODIFIED))


# --- to the letter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "honoured"), [(256, True), (257, False)])
def test_a_range_header_longer_than_any_honest_one_is_ignored(length: int, honoured: bool) -> None:
    header = "bytes=0-9".ljust(length, ",")
    assert (parse_range(header, 100) == ByteRange(0, 10)) is honoured


@pytest.mark.parametrize(("length", "known"), [(8192, True), (8193, False)])
def test_a_list_of_tags_longer_than_any_honest_one_names_none(length: int, known: bool) -> None:
    assert is_not_modified(ETAG.ljust(length, ","), None, ETAG, MODIFIED) is known


@pytest.mark.parametrize("header", [f"\x0b{ETAG}", f"{ETAG}\xa0", f"{LAST_MODIFIED}\x0b"])
def test_other_white_space_than_blanks_and_tabs_is_not_taken_off_an_if_range(header: str) -> None:
    assert not if_range_holds(header, ETAG, LAST_MODIFIED)


@pytest.mark.parametrize(
    "header", ["\x0b*", "*\xa0", f"X{ETAG}", f'"a",X{ETAG}', f'"a"\x0b,{ETAG}', f'"a"{ETAG}', f'{ETAG} "a"']
)
def test_a_malformed_list_of_tags_names_none(header: str) -> None:
    assert not is_not_modified(header, None, ETAG, MODIFIED)


def test_a_weak_tag_of_ours_is_known_to_who_has_it_weakly_or_strongly() -> None:
    assert is_not_modified(f"W/{ETAG}", None, f"W/{ETAG}", MODIFIED)
    assert is_not_modified(ETAG, None, f"W/{ETAG}", MODIFIED)

"""Reading import files: every good line is read, every bad one is named."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.first_lines import FirstLines
from calls.importing import LONGEST_LINE, BadLine, CallFile, Format, Line

JERUSALEM = ZoneInfo("Asia/Jerusalem")


def read(text: str | bytes, file_format: Format | None = None) -> list[Line | BadLine]:
    raw = text.encode() if isinstance(text, str) else text
    return list(CallFile(io.BytesIO(raw), JERUSALEM, file_format))


def one(**columns: Any) -> Line | BadLine:
    (line,) = read(json.dumps({"call_sid": "CA1", **columns}))
    return line


def faults(line: Line | BadLine) -> list[tuple[str, str]]:
    assert isinstance(line, BadLine)
    return [(fault.column, fault.code) for fault in line.faults]


def good_sids(lines: list[Line | BadLine]) -> list[str]:
    return [line.call_sid for line in lines if isinstance(line, Line)]


def bad_numbers(lines: list[Line | BadLine]) -> list[int]:
    return [line.number for line in lines if isinstance(line, BadLine)]


FULL = {
    "call_sid": "CA1", "direction": "outbound", "from_number": "+972555000100", "to_number": "+972555001234",
    "status": "no-answer", "started_at": "2026-01-31T14:05:00+02:00", "duration": "12", "agent": "נועה לוי",
    "recording_url": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1", "recording_sid": "RE1",
}  # fmt: skip
READ = FULL | {"started_at": datetime(2026, 1, 31, 12, 5, tzinfo=UTC), "duration": 12}


def as_csv(delimiter: str = ",", newline: str = "\n") -> str:
    return newline.join([delimiter.join(FULL), delimiter.join(FULL.values()), ""])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FULL),
        json.dumps(FULL, ensure_ascii=False) + "\n",
        as_csv(),
        as_csv(newline="\r\n"),
        as_csv(";"),
        as_csv("\t"),
        "\ufeff" + as_csv(),
        "\ufeff" + json.dumps(FULL),
        "\n\n" + as_csv(),
        as_csv().replace("call_sid,direction", ' "Call_SID" ,DIRECTION'.strip()),
    ],
)
def test_a_whole_call_is_read_from_jsonl_and_from_csv(text: str) -> None:
    (line,) = read(text)
    assert isinstance(line, Line)
    assert line.given == READ


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_value_is_not_given(empty: str | None) -> None:
    line = one(agent=empty, duration=empty, recording_url=empty)
    assert isinstance(line, Line)
    assert line.given == {"call_sid": "CA1"}


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2026-01-31T14:05:00+02:00", datetime(2026, 1, 31, 12, 5, tzinfo=UTC)),
        ("2026-01-31T14:05:00Z", datetime(2026, 1, 31, 14, 5, tzinfo=UTC)),
        ("2026-01-31 14:05", datetime(2026, 1, 31, 12, 5, tzinfo=UTC)),
        ("2026-07-31T14:05:00.25", datetime(2026, 7, 31, 11, 5, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_in_the_zone_of_the_business(time: str, utc: datetime) -> None:
    line = one(started_at=time)
    assert isinstance(line, Line)
    assert line.given["started_at"] == utc


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("started_at", "2026-02-30T10:00:00Z", "malformed"),
        ("started_at", "2026-01-31", "malformed"),
        ("started_at", "yesterday", "malformed"),
        ("started_at", 1_760_000_000, "malformed"),
        ("started_at", "0001-01-01T00:00:00+14:00", "malformed"),
        ("started_at", "1969-12-31T23:59:59Z", "out_of_range"),
        ("direction", "sideways", "unknown"),
        ("direction", ["inbound"], "unknown"),
        ("status", "done", "unknown"),
        ("duration", -1, "out_of_range"),
        ("duration", "-1", "out_of_range"),
        ("duration", 2**31, "out_of_range"),
        ("duration", "1:30", "malformed"),
        ("duration", 1.5, "malformed"),
        ("duration", True, "malformed"),
        ("duration", "1_000", "malformed"),
        ("from_number", "0" * 65, "too_long"),
        ("agent", "x" * 201, "too_long"),
        ("agent", "a\x00b", "bad_character"),
        ("agent", "a\ud800b", "bad_character"),
        ("agent", {"name": "Dana"}, "not_text"),
        ("recording_url", "not an address", "malformed"),
        ("recording_url", "ftp://host/file", "malformed"),
        ("recording_url", "https://user:secret@host/file", "malformed"),
        ("recording_url", "//host/file", "malformed"),
        ("recording_url", "https://", "malformed"),
        ("recording_url", "https://host/שלום", "malformed"),
        ("recording_url", "https://host/" + "x" * 2000, "too_long"),
        ("recording_sid", "RE 1", "malformed"),
        ("call_sid", "CA/1", "malformed"),
        ("call_sid", "x" * 65, "malformed"),
        ("call_sid", {"sid": 1}, "malformed"),
        ("call_sid", None, "missing"),
    ],
)
def test_a_bad_value_is_named_with_its_column(column: str, value: Any, code: str) -> None:
    assert faults(one(**{column: value})) == [(column, code)]


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("direction", "outbound-api", "outbound"),
        ("direction", "Inbound", "inbound"),
        ("duration", "12.0", 12),
        ("duration", 12.0, 12),
        ("from_number", 972555000100, "972555000100"),
        ("call_sid", 17, "17"),
        ("agent", "\u200fנועה\u00a0לוי", "\u200fנועה\u00a0לוי"),
        (
            "recording_url",
            "/2010-04-01/Accounts/AC1/Recordings/RE1.json",
            "/2010-04-01/Accounts/AC1/Recordings/RE1.json",
        ),
        ("recording_url", "http://127.0.0.1:8100/recordings/a?b=c", "http://127.0.0.1:8100/recordings/a?b=c"),
    ],
)
def test_what_providers_and_spreadsheets_write_is_understood(column: str, value: Any, stored: Any) -> None:
    line = one(**{column: value})
    assert isinstance(line, Line)
    assert line.given[column] == stored


def test_everything_that_is_wrong_with_a_line_is_said_at_once() -> None:
    line = one(call_sid="", duration=-1, status="done")
    assert sorted(faults(line)) == [("call_sid", "missing"), ("duration", "out_of_range"), ("status", "unknown")]


def test_words_show_no_query_and_no_control_characters() -> None:
    line = one(recording_url="https://host/a b?token=secret", agent="\x1b[31mred")
    assert isinstance(line, BadLine)
    words = " ".join(map(str, line.faults))
    assert "secret" not in words
    assert "\x1b" not in words


def test_bad_lines_do_not_lose_the_others_of_a_jsonl_file() -> None:
    lines = read(
        b'nonsense\n{"call_sid": "CA1"}\n{"call_sid": "CA\xff"}\n\n["CA2"]\n{"call_sid": \n'
        + b"[" * 200_000
        + b'\n{"call_sid": "CA3"}'
    )
    assert good_sids(lines) == ["CA1", "CA3"]
    assert bad_numbers(lines) == [1, 3, 5, 6, 7]


def test_bad_lines_do_not_lose_the_others_of_a_csv_file() -> None:
    lines = read(
        b'call_sid,agent\nCA1,Dana\nCA2,\xff\nCA3\nCA4,Noa,more\nCA5,"Yossi ""Joe"" Cohen"\nCA6,"never closed\n'
        b'CA7,"Dana, Noa"\nCA8,Noa\n'
    )
    assert good_sids(lines) == ["CA1", "CA5", "CA7", "CA8"]
    assert bad_numbers(lines) == [3, 4, 5, 7]


def test_a_quoted_value_may_go_on_over_lines_and_numbers_stay_right() -> None:
    lines = read('call_sid,note,agent\nCA1,"first\nsecond\n\nfourth",Dana\nCA2,,\nCA 3,,\n')
    assert good_sids(lines) == ["CA1", "CA2"]
    assert bad_numbers(lines) == [7]


def test_a_quote_that_is_never_closed_costs_one_line_of_a_long_file() -> None:
    rows = [f"CA{number},Dana" for number in range(1000)]
    rows[3] = 'CA3,"Dana'
    lines = read("\n".join(["call_sid,agent", *rows]))
    assert bad_numbers(lines) == [5]
    assert len(good_sids(lines)) == 999


@pytest.mark.parametrize("header", ["agent,duration", "call_sid,agent,agent"])
def test_a_header_that_can_not_be_used_is_the_fault_of_line_one(header: str) -> None:
    assert [faults(line) for line in read(header + "\nCA1,2,3\n", "csv")] == [[("", "bad_header")]]


def test_a_file_in_utf_16_is_named_as_such() -> None:
    assert [faults(line) for line in read(as_csv().encode("utf-16"))] == [[("", "bad_encoding")]]


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_an_empty_file_has_no_lines(text: str) -> None:
    assert read(text) == []


def test_unknown_columns_are_told_and_ignored() -> None:
    file = CallFile(io.BytesIO(b'{"call_sid": "CA1", "recording_uri": "x"}'), JERUSALEM)
    assert good_sids(list(file)) == ["CA1"]
    assert file.ignored == {"recording_uri"}


def test_a_line_too_long_for_memory_is_skipped() -> None:
    lines = read(b'{"call_sid": "CA1", "note": "' + b"x" * LONGEST_LINE * 3 + b'"}\n{"call_sid": "CA2"}\n')
    assert faults(lines[0]) == [("", "too_long")]
    assert good_sids(lines) == ["CA2"]
    assert lines[1].number == 2


class Endless(io.RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, count: int) -> None:
        self._lines = (b'{"call_sid": "CA%d", "agent": "Dana"}\n' % number for number in range(count))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        line = next(self._lines, b"")
        buffer[: len(line)] = line
        return len(line)


def peak(count: int) -> int:
    """Peak Python memory of reading so many lines, with the check for repeated ones."""

    def batches() -> Iterator[list[tuple[str, int]]]:
        batch = []
        for line in CallFile(io.BufferedReader(Endless(count)), JERUSALEM):
            batch.append((line.call_sid, line.number))
            if len(batch) == 500:
                yield batch
                batch = []

    tracemalloc.start()
    try:
        with FirstLines() as firsts:
            assert not any(firsts.repeated(batch) for batch in batches())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file() -> None:
    peak(1000)
    assert peak(20_000) <= 1.2 * peak(2_000)


def test_the_first_line_of_a_repeated_call_is_known_within_a_batch_and_across() -> None:
    with FirstLines() as firsts:
        assert firsts.repeated([("CA1", 1), ("CA2", 2), ("CA1", 3)]) == {3: 1}
        assert firsts.repeated([("CA3", 4)]) == {}
        assert firsts.repeated([("CA2", 5), ("CA4", 6)]) == {5: 2}
        assert firsts.repeated([]) == {}


@given(st.binary(max_size=400), st.sampled_from(["jsonl", "csv", None]))
def test_no_bytes_stop_the_reading(noise: bytes, file_format: Format | None) -> None:
    good = b'\n{"call_sid": "CA1"}\n'
    found = read(noise + good, "jsonl")
    assert good_sids(found)[-1:] == ["CA1"]
    for line in read(noise, file_format):
        assert line.number >= 1

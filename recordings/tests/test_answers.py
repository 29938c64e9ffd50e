"""What a provider's headers mean. The statuses and the framing are tested over sockets, in test_http.py."""

import time
from email.utils import formatdate

import pytest
from requests.structures import CaseInsensitiveDict

from recordings.download.providers import answers

THEN, LATER = formatdate(1_700_000_000, usegmt=True), formatdate(1_700_000_060, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("7", 7.0), (" 120 ", 120.0), ("86400", 86400.0), ("99999999", 86400.0)],
)
def test_retry_after_in_seconds_is_read_up_to_a_day(value: str, seconds: float) -> None:
    assert answers.retry_after(value) == seconds


@pytest.mark.parametrize("form", ["imf", "rfc850", "asctime"])
def test_retry_after_as_a_date_is_read_in_its_three_forms(form: str) -> None:
    then = int(time.time()) + 600
    value = {
        "imf": formatdate(then, usegmt=True),
        "rfc850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(then)),
        "asctime": time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(then)),
    }[form]
    assert answers.retry_after(value) == pytest.approx(600, abs=60)
    assert answers.retry_after(formatdate(then + 10**7, usegmt=True)) == 86400.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "-1",
        "1.5",
        "soon",
        "1e3",
        "0x10",
        "٣",
        "9" * 5000,
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 99 Nov 2094 99:99:99 GMT",
        "Sun, 06 Nov",
        "Sun",
        "Mon, 32 Foo 2030",
        "Fri, 31 Dec 99999999999 23:59:59 GMT",
    ],
)
def test_a_retry_after_that_makes_no_sense_is_ignored(value: str | None) -> None:
    assert answers.retry_after(value) is None


class Headers(CaseInsensitiveDict[str]):
    """With the one thing that urllib3's headers can do besides."""

    def getlist(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


@pytest.mark.parametrize(
    ("validator", "told", "resumes"),
    [
        (THEN, {}, True), (THEN, {"Last-Modified": THEN}, True), (THEN, {"Last-Modified": LATER}, False),
        ('"a"', {}, True), ('"a"', {"ETag": '"a"'}, True), ('"a"', {"ETag": '"b"'}, False),
    ],
)  # fmt: skip
def test_a_rest_is_taken_only_where_its_validator_is_still_the_same(
    validator: str, told: dict[str, str], resumes: bool
) -> None:
    headers = Headers({"Content-Range": "bytes 5-9/10", "Content-Length": "5", **told})
    rest = answers.Rest(5, 10, validator)
    if resumes:
        assert answers.accept(206, 11, headers, 100, rest) == answers.Announced(10, validator, 5)
    else:
        with pytest.raises(answers.NotResumable):
            answers.accept(206, 11, headers, 100, rest)

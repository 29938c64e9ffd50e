"""import_calls: what differs is written, what is bad is named, and a recording's life is left alone."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from calls.models import Business, CallLog, RecordingStatus
from calls.tests.factories import make_account, make_business, make_call, make_recording
from recordings.lifecycle import Ask
from recordings.models import Recording

pytestmark = pytest.mark.django_db

START = "2026-01-31T14:05:00+02:00"
URL = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/"


class Outcome:
    """How a run of the command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def count(self, *names: str) -> list[int]:
        return [self.report[name] for name in names]


def run(path: Path | str, business: Business | str, *options: str) -> Outcome:
    slug = business if isinstance(business, str) else business.slug
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("import_calls", str(path), "--business", slug, *options, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return Outcome(code, out.getvalue(), err.getvalue())


class Importer:
    """Writes a file of lines and imports it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "calls.jsonl"

    def __call__(
        self, business: Business, *calls: dict[str, Any] | str, options: tuple[str, ...] = ("--json",)
    ) -> Outcome:
        self.path.write_text("\n".join(call if isinstance(call, str) else json.dumps(call) for call in calls))
        return run(self.path, business, *options)


@pytest.fixture
def acme() -> Business:
    return make_business("acme", timezone="Asia/Jerusalem")


@pytest.fixture
def import_calls(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def facts(call: CallLog) -> dict[str, Any]:
    return dict(CallLog.objects.filter(pk=call.pk).values().get())


def age(call: CallLog) -> datetime:
    """Make the row old, so that a change of updated_at shows; returns the time it has now."""
    CallLog.objects.filter(pk=call.pk).update(updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    time: datetime = facts(call)["updated_at"]
    return time


def test_new_calls_are_created_as_the_file_says(acme: Business, import_calls: Importer) -> None:
    line = {
        "call_sid": "CA1", "direction": "outbound", "from_number": "+972 55-500-0100", "to_number": "+972555001234",
        "status": "no-answer", "started_at": START, "duration": 12, "agent": "Dana", "recording_url": URL + "RE1",
        "recording_sid": "RE1",
    }  # fmt: skip
    outcome = import_calls(acme, line, {"call_sid": "CA2", "started_at": START})
    assert outcome.code == 0
    assert outcome.count("created", "changed", "unchanged", "bad") == [2, 0, 0, 0]
    call = CallLog.objects.get(business=acme, call_sid="CA1")
    written = {column: getattr(call, column) for column in line}
    assert written == line | {"started_at": datetime(2026, 1, 31, 12, 5, tzinfo=UTC)}
    assert call.search_digits == "972555000100 972555001234"
    assert call.recording_download_status == RecordingStatus.MISSING
    bare = CallLog.objects.get(call_sid="CA2")
    assert (bare.direction, bare.status, bare.agent, bare.duration) == ("inbound", "completed", "", None)
    assert (bare.recording_url, bare.recording_sid, bare.search_digits) == (None, None, " ")
    assert abs(datetime.now(UTC) - bare.created_at) < timedelta(minutes=5)


def test_the_same_file_twice_changes_nothing_the_second_time(acme: Business, import_calls: Importer) -> None:
    lines = [
        {"call_sid": f"CA{n}", "started_at": START, "duration": n, "recording_url": f"{URL}RE{n}"} for n in range(5)
    ]
    import_calls(acme, *lines)
    before = list(CallLog.objects.order_by("pk").values())
    outcome = import_calls(acme, *lines)
    assert outcome.count("created", "changed", "unchanged", "bad") == [0, 0, 5, 0]
    assert list(CallLog.objects.order_by("pk").values()) == before


def test_only_what_is_given_and_differs_changes(acme: Business, import_calls: Importer) -> None:
    call = make_call(acme, call_sid="CA1", agent="Dana", duration=60, from_number="+97254111")
    before, old = facts(call), age(call)
    outcome = import_calls(acme, {"call_sid": "CA1", "duration": 61, "from_number": "+97254222", "agent": ""})
    assert outcome.count("created", "changed", "unchanged", "bad") == [0, 1, 0, 0]
    after = facts(call)
    assert after.pop("updated_at") > old
    before.pop("updated_at")
    assert after == before | {"duration": 61, "from_number": "+97254222", "search_digits": "97254222 97231234567"}


def test_a_time_that_was_written_equals_itself_read_back(acme: Business, import_calls: Importer) -> None:
    import_calls(acme, {"call_sid": "CA1", "started_at": "2026-01-31T14:05:00.123Z"})
    call = CallLog.objects.get()
    for column in ("updated_at", "created_at", "started_at"):
        assert CallLog.objects.filter(**{column: getattr(call, column)}).exists()


def test_another_business_may_have_the_same_call_sid(acme: Business, import_calls: Importer) -> None:
    theirs = make_call(make_business("globex"), call_sid="CA1", agent="Theirs")
    import_calls(acme, {"call_sid": "CA1", "started_at": START, "agent": "Ours"})
    assert facts(theirs)["agent"] == "Theirs"
    assert CallLog.objects.get(business=acme).agent == "Ours"


# --- bad lines


def test_bad_lines_are_named_and_the_good_ones_kept(acme: Business, import_calls: Importer) -> None:
    outcome = import_calls(
        acme,
        {"call_sid": "CA1", "started_at": START},
        {"started_at": START},
        {"call_sid": "CA/2", "started_at": START},
        {"call_sid": "CA3", "started_at": "tomorrow"},
        {"call_sid": "CA4", "started_at": START, "recording_url": "nowhere"},
        "not json",
        {"call_sid": "CA5"},
        {"call_sid": "CA1", "started_at": START, "agent": "second"},
        {"call_sid": "CA6", "started_at": START},
    )
    assert outcome.code == 1
    named = {
        bad["line"]: [(error["column"], error["code"]) for error in bad["errors"]]
        for bad in outcome.report["bad_lines"]
    }
    assert named == {
        2: [("call_sid", "missing")],
        3: [("call_sid", "malformed")],
        4: [("started_at", "malformed")],
        5: [("recording_url", "malformed")],
        6: [("", "not_json")],
        7: [("started_at", "missing")],
        8: [("call_sid", "repeated")],
    }
    assert outcome.count("created", "bad") == [2, 7]
    assert sorted(CallLog.objects.values_list("call_sid", "agent")) == [("CA1", ""), ("CA6", "")]


def test_people_read_the_line_number_the_call_and_what_is_wrong(acme: Business, import_calls: Importer) -> None:
    first = {"call_sid": "CA1", "started_at": START}
    outcome = import_calls(acme, first, first, {"call_sid": "CA3", "duration": -1}, options=())
    assert outcome.code == 1
    assert "Line 2 (CA1): call_sid is repeated: line 1 has it already" in outcome.err
    assert "Line 3 (CA3): duration is not between 0 and" in outcome.err
    assert "1 created, 0 changed, 0 unchanged, 2 bad" in outcome.out


def test_a_call_repeated_far_away_in_a_long_file_is_found(
    acme: Business, import_calls: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recordings.importing.BATCH", 10)
    lines = [{"call_sid": f"CA{n}", "started_at": START} for n in range(45)]
    outcome = import_calls(acme, *lines, {"call_sid": "CA0", "started_at": START, "agent": "second"})
    assert [bad["line"] for bad in outcome.report["bad_lines"]] == [46]
    assert outcome.count("created", "bad") == [45, 1]
    assert CallLog.objects.get(call_sid="CA0").agent == ""


# --- recordings


def test_another_recording_of_the_same_call_is_reported_and_not_taken(acme: Business, import_calls: Importer) -> None:
    call = make_recording(acme, call_sid="CA1", recording_sid="RE1", recording_url=URL + "RE1")
    outcome = import_calls(
        acme, {"call_sid": "CA1", "recording_sid": "RE2", "recording_url": URL + "RE2", "agent": "Noa"}
    )
    assert outcome.code == 1
    assert outcome.count("changed", "bad", "other_recording") == [1, 0, 1]
    assert outcome.report["bad_lines"][0]["errors"][0]["code"] == "other_recording"
    row = facts(call)
    assert (row["recording_sid"], row["recording_url"], row["agent"]) == ("RE1", URL + "RE1", "Noa")


def test_calls_with_nothing_to_play_are_counted(acme: Business, import_calls: Importer) -> None:
    make_recording(acme, call_sid="CA1", recording_url=URL + "RE1")
    lines = (
        {"call_sid": "CA1", "agent": "Noa"},
        {"call_sid": "CA2", "started_at": START},
        {"call_sid": "CA3", "started_at": START, "recording_url": URL + "RE3"},
    )
    assert import_calls(acme, *lines).count("created", "changed", "no_recording") == [2, 1, 1]
    assert "1 without a recording_url, so with nothing to play" in import_calls(acme, *lines, options=()).out


def test_a_host_that_the_account_does_not_allow_is_kept(acme: Business, import_calls: Importer) -> None:
    make_account(acme, hosts="api.twilio.com")
    outcome = import_calls(
        acme, {"call_sid": "CA1", "started_at": START, "recording_url": "https://elsewhere.example/1"}
    )
    assert outcome.code == 0
    assert CallLog.objects.get().recording_url == "https://elsewhere.example/1"


@pytest.mark.parametrize("status", RecordingStatus.values)
def test_an_import_that_leaves_the_address_leaves_the_recording(
    acme: Business, import_calls: Importer, status: str
) -> None:
    call = make_recording(acme, status, call_sid="CA1")
    before = facts(call)
    outcome = import_calls(
        acme,
        {"call_sid": "CA1", "agent": "Noa", "recording_url": call.recording_url, "recording_sid": call.recording_sid},
    )
    assert outcome.count("changed") == [1]
    after = facts(call)
    changed = {column for column in before if before[column] != after[column]}
    assert changed - {"updated_at"} == {"agent"}


@pytest.mark.parametrize("status", ["missing", "queued", "downloading", "ready"])
def test_a_new_address_is_kept_for_the_next_time(acme: Business, import_calls: Importer, status: str) -> None:
    call = make_recording(acme, status, call_sid="CA1")
    before = facts(call)
    import_calls(acme, {"call_sid": "CA1", "recording_url": "https://api.twilio.com/new"})
    after = facts(call)
    assert after["recording_url"] == "https://api.twilio.com/new"
    changed = {column for column in before if before[column] != after[column]}
    assert changed - {"updated_at"} == {"recording_url"}


def test_a_new_address_gives_a_failed_recording_a_new_chance(acme: Business, import_calls: Importer) -> None:
    call = make_recording(acme, "failed", call_sid="CA1", recording_reason="gone")
    import_calls(acme, {"call_sid": "CA1", "recording_url": "https://api.twilio.com/new"})
    row = facts(call)
    assert (row["recording_download_status"], row["recording_reason"], row["recording_permanent"]) == (
        "missing",
        "",
        False,
    )
    assert row["recording_fail_count"] == 0


def test_a_deleted_recording_stays_deleted_under_a_new_address(acme: Business, import_calls: Importer) -> None:
    call = make_recording(acme, "failed", call_sid="CA1", recording_reason="deleted")
    import_calls(acme, {"call_sid": "CA1", "recording_url": "https://api.twilio.com/new"})
    assert facts(call)["recording_reason"] == "deleted"


def test_an_imported_recording_can_be_queued(acme: Business, import_calls: Importer) -> None:
    import_calls(acme, {"call_sid": "CA1", "started_at": START, "recording_url": URL + "RE1"})
    assert Recording.objects.filter(business=acme).queue(Ask.PLAY) == 1


# --- dry run, files, exit codes


def test_a_dry_run_says_the_same_and_changes_nothing(acme: Business, import_calls: Importer) -> None:
    make_recording(acme, "failed", call_sid="CA1", recording_sid="RE1")
    make_call(acme, call_sid="CA2")
    before = list(CallLog.objects.order_by("pk").values())
    lines = [
        {"call_sid": "CA1", "recording_url": "https://api.twilio.com/new"},
        {"call_sid": "CA2"},
        {"call_sid": "CA3", "started_at": START},
        {"call_sid": "CA3", "started_at": START},
        {"call_sid": "CA4"},
    ]
    dry = import_calls(acme, *lines, options=("--json", "--dry-run"))
    assert list(CallLog.objects.order_by("pk").values()) == before
    real = import_calls(acme, *lines)
    assert dry.code == real.code == 1
    assert dry.report.pop("dry_run") is True
    assert dry.report | {"dry_run": False} == real.report
    assert real.count("created", "changed", "unchanged", "bad") == [1, 1, 1, 2]


def test_a_csv_file_comes_in_on_standard_input(acme: Business, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "calls"
    path.write_text(f"call_sid,started_at,agent\nCA1,{START},Dana\n", encoding="utf-8-sig")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        outcome = run("-", acme, "--json")
    assert outcome.count("created") == [1]
    assert CallLog.objects.get().agent == "Dana"


def test_unknown_columns_are_told(acme: Business, import_calls: Importer) -> None:
    outcome = import_calls(acme, {"call_sid": "CA1", "started_at": START, "recording_uri": "x"}, options=())
    assert outcome.code == 0
    assert "recording_uri" in outcome.err


def test_an_unknown_business_is_a_usage_error_that_names_the_known(acme: Business, import_calls: Importer) -> None:
    import_calls(acme)
    outcome = run(import_calls.path, "acne")
    assert outcome.code == 2
    assert "acme" in outcome.err


def test_a_file_that_can_not_be_read_is_a_usage_error(acme: Business, tmp_path: Path) -> None:
    assert run(tmp_path / "none.csv", acme).code == 2
    assert run(tmp_path, acme).code == 2


def test_a_batch_costs_the_same_queries_whatever_its_size(acme: Business, import_calls: Importer) -> None:
    def queries(count: int) -> int:
        lines = [{"call_sid": f"C{count}-{n}", "started_at": START, "agent": "a"} for n in range(count)]
        with CaptureQueriesContext(
            connection,
        ) as made:
            import_calls(acme, *lines)
            import_calls(acme, *[line | {"agent": "b"} for line in lines])
        return len(made)

    assert queries(50) == queries(5)


@pytest.mark.django_db(transaction=True)
def test_rows_that_a_worker_holds_are_written_after_the_others(import_calls: Importer) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one writer at a time")
    import threading

    acme = make_business("acme")
    calls = [make_call(acme, call_sid=f"CA{n}") for n in range(3)]
    held, free = threading.Event(), threading.Event()

    def worker() -> None:
        with transaction.atomic():
            CallLog.objects.select_for_update().get(pk=calls[1].pk)
            held.set()
            # Waits for a row that the import must not be holding.
            while CallLog.objects.filter(pk=calls[0].pk, agent="new").count() == 0 and not free.wait(0.01):
                continue
            CallLog.objects.filter(pk=calls[0].pk).update(duration=99)
        connection.close()

    thread = threading.Thread(target=worker)
    thread.start()
    try:
        assert held.wait(10)
        outcome = import_calls(acme, *({"call_sid": f"CA{n}", "agent": "new"} for n in range(3)))
    finally:
        free.set()
        thread.join()
    assert outcome.count("changed") == [3]
    assert set(CallLog.objects.values_list("agent", flat=True)) == {"new"}
    assert facts(calls[0])["duration"] == 99

"""What watches a living service: /metrics of all its processes, and the alerts and the dashboard made of it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from conftest import StartService
from demo.library import bulk
from demo.provider import Provider
from demo.service import wait_until
from prosaasil.supervisor import processes
from recordings.tests.living import Customer, customer
from recordings.tests.promql import Exposed, labels, unknown

pytestmark = pytest.mark.once

DEPLOY = Path(settings.BASE_DIR) / "deploy"
OPERATING = (Path(settings.BASE_DIR) / "docs" / "operating.md").read_text()
SIZE = 30_000


@dataclass
class Scrape:
    """What /metrics said once."""

    families: set[str] = field(default_factory=set)
    values: dict[str, float] = field(default_factory=dict)
    exposed: Exposed = field(default_factory=dict)

    def sum(self, name: str, *words: str) -> float:
        """Of all series of this name that have these words in their labels."""
        found = [value for series, value in self.values.items() if series.split("{")[0] == f"prosaasil_{name}"
                 and all(f'"{word}"' in series for word in words)]  # fmt: skip
        assert found or not words, (name, words)
        return sum(found)


def scrape(acme: Customer) -> Scrape:
    status, headers, body = acme.request("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    seen = Scrape()
    for family in text_string_to_metric_families(body.decode()):
        seen.families.add(family.name)
        for sample in family.samples:
            seen.values[sample.name + json.dumps(sample.labels)] = sample.value
            of_name = seen.exposed.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                of_name.setdefault(label, set()).add(value)
    return seen


@pytest.fixture(scope="module")
def acme(lasting_service: StartService) -> Iterator[Customer]:
    with Provider(auth="none") as provider:
        service = lasting_service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        yield customer(service, provider)


@pytest.fixture(scope="module")
def exposed(acme: Customer) -> Exposed:
    acme.service.wait_until_ready()  # the test before has killed all of it
    return scrape(acme).exposed


def download(acme: Customer, names: Iterable[str], times: int) -> None:
    """Ask for each so many times, and wait until all of these are settled."""
    for sid in [*names] * times:
        acme.request("POST", f"/api/recordings/{sid}/download", {})
    wait_until(lambda: acme.statuses().keys() <= {"ready", "failed", "missing"}, 20, "all are settled")


def files(acme: Customer) -> int:
    return len(list((acme.service.var / "run" / "metrics").iterdir()))


def test_what_all_processes_did_is_counted_once_and_survives_their_deaths(acme: Customer) -> None:
    names = {f"WATCH{number}": f"bulk-watch-{number:04}" for number in range(5)}
    acme.import_recordings(names)
    for name in names.values():
        acme.provider.put(name, bulk(name, SIZE))
    acme.provider.misbehave("bulk-watch-0003", "gone")
    last = {"WATCH4": names.pop("WATCH4")}
    download(acme, names, times=3)

    # a worker counts once its row is committed, an instant later
    wait_until(lambda: scrape(acme).sum("attempts_total") == 4, 5, "four attempts are counted")
    before = scrape(acme)
    assert before.sum("queue_answers_total") == 12
    assert before.sum("queue_answers_total", "enqueued") == 4
    assert before.sum("attempts_total", "ready") == 3
    assert before.sum("attempts_total", "failed", "gone") == 1
    assert before.sum("download_bytes_total", "ready") == 3 * SIZE
    assert before.sum("download_seconds_count") == 3
    assert before.sum("transitions_total", "start") == 4
    assert (before.sum("recordings", "ready"), before.sum("recordings", "failed")) == (3, 1)
    assert before.sum("check_ok") == 3

    counting = files(acme)
    doomed = {member.pid for role in ("cluster", "web") for member in acme.service.group(role)}
    for pid in doomed:
        processes.kill(pid)  # it may have gone with its group
    wait_until(lambda: not {each.pid for each in acme.service.members()} & doomed, 10, "they are gone")
    acme.service.wait_until_ready()
    after = scrape(acme)
    assert {each: after.sum(each) for each in COUNTED} == {each: before.sum(each) for each in COUNTED}

    download(acme, last, times=2)
    wait_until(lambda: scrape(acme).sum("attempts_total", "ready") == 4, 5, "the new processes count on")
    assert scrape(acme).sum("queue_answers_total") == 14
    assert files(acme) <= counting + 2, "the dead ones' files were taken over"


COUNTED = ("attempts_total", "queue_answers_total", "download_bytes_total", "download_seconds_count")

# --- rules


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any], exposed: Exposed) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[0-9]+[mh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert unknown(rule["expr"], exposed) == []
    says = rule["annotations"]
    assert set(says) == {"summary", "description", "runbook"}
    has = labels(promql_parser.parse(rule["expr"]), exposed)
    assert set(re.findall(r"\$labels\.(\w+)", str(says))) <= has
    paragraph = says["runbook"].removeprefix("docs/operating.md: ")
    assert f"**{paragraph}**" in OPERATING, "the paragraph that it names"


def test_each_alert_is_tried_in_the_rules_own_tests() -> None:
    tried = re.findall(r'alertname="(\w+)"', (DEPLOY / "alerts.test.yml").read_text())
    assert set(tried) == {rule["alert"] for rule in rules()}


def test_the_rules_own_tests_pass() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("No promtool on this machine.")
    command = [promtool, "test", "rules", str(DEPLOY / "alerts.test.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- dashboard


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    return found


def asked(target: dict[str, Any]) -> str:
    """Its expression, with the interval that Grafana would fill in."""
    return str(target["expr"]).replace("$__rate_interval", "5m")


PANELS = dashboard()["panels"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_what_there_is(panel: dict[str, Any], exposed: Exposed) -> None:
    assert panel["datasource"]["uid"] == "${datasource}"
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for target in panel["targets"]:
        assert unknown(asked(target), exposed) == []
        has = labels(promql_parser.parse(asked(target)), exposed)
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= has


def test_panels_lie_side_by_side() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in PANELS)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    assert [each["name"] for each in dashboard()["templating"]["list"]] == ["datasource"]


# --- all of it together


def test_each_metric_is_shown_or_watched_and_explained(acme: Customer, exposed: Exposed) -> None:
    families = {name.removesuffix("_total") for name in scrape(acme).families}
    expressions = [rule["expr"] for rule in rules()]
    expressions += [asked(target) for panel in PANELS for target in panel["targets"]]
    used = set(re.findall(r"prosaasil_\w+", " ".join(expressions)))
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used} == families
    explained = set(re.findall(r"^\| `(prosaasil_\w+)", OPERATING, re.MULTILINE))
    assert {name.removesuffix("_total") for name in explained} == families


@pytest.mark.parametrize(
    "wrong",
    [
        "prosaasil_nothing > 1",
        'prosaasil_recordings{state="ready"}',
        'prosaasil_recordings{status="lost"}',
        'prosaasil_recordings{status=~"ready|lost"}',
        "sum by (reason) (prosaasil_recordings)",
        "prosaasil_recordings / ignoring(reason) prosaasil_recordings",
        'rate(prosaasil_attempts_total{outcome!="lost"}[5m])',
    ],
)
def test_a_wrong_name_label_or_value_would_be_found(wrong: str, exposed: Exposed) -> None:
    assert unknown(wrong, exposed) != []

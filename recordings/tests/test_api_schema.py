"""GET schema/ and docs/, and docs/openapi.json: the contract that programs rely on."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok

from calls.tests.factories import make_business, make_call, make_manager, make_ready, make_recording
from recordings.api.schema import schema_json
from recordings.tests.api import program_of, storage  # noqa: F401  (a fixture)

COMMITTED = Path(settings.BASE_DIR) / "docs" / "openapi.json"
Json = dict[str, Any]


def breaking(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Where a program that was written for `old` may fail with `new`: what was taken away, changed, or newly demanded.

    Words for people may change. Additions are fine, but for a required parameter or body member.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old:
            if name in {"description", "title", "operationId", "summary", "info", "tags"} and at != "/properties":
                continue
            if name not in new:
                yield f"{at}/{name} is gone"
            else:
                yield from breaking(old[name], new[name], f"{at}/{name}")
    elif isinstance(old, list) and isinstance(new, list):
        yield from _breaking_list(old, new, at)
    elif old != new:
        yield f"{at} was {old!r} and is {new!r}"


def _breaking_list(old: list[Any], new: list[Any], at: str) -> Iterator[str]:
    if at.endswith("/parameters"):
        mine, theirs = ({(each["in"], each["name"]): each for each in side} for side in (old, new))
        yield from breaking(
            {str(key): value for key, value in mine.items()}, {str(key): v for key, v in theirs.items()}, at
        )
        yield from (f"{at} demands {key}" for key, each in theirs.items() if each.get("required") and key not in mine)
        return
    yield from (f"{at} lacks {each!r}" for each in old if each not in new)
    if at.endswith("Request/required"):
        yield from (f"{at} demands {each!r}" for each in new if each not in old)


def committed() -> Json:
    return dict(json.loads(COMMITTED.read_text()))


def test_nothing_that_a_program_relies_on_has_changed() -> None:
    assert list(breaking(committed(), json.loads(schema_json()))) == []


def test_the_committed_contract_is_that_of_the_code() -> None:
    """After an addition: manage.py spectacular --format openapi-json --file docs/openapi.json"""
    assert committed() == json.loads(schema_json())


def without(schema: Json, *path: str) -> Json:
    del _at(schema, path[:-1])[path[-1]]
    return schema


def _at(schema: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        schema = schema[step]
    return schema


STATUS = ("paths", "/api/recordings/{call_sid}/status", "get")


def test_what_breaks_a_program_is_noticed_and_an_addition_is_not() -> None:
    old = committed()
    for gone in (
        ("paths", "/api/calls/"),
        (*STATUS, "responses", "404"),
        ("components", "schemas", "Payload", "properties", "message"),
    ):
        assert list(breaking(old, without(deepcopy(old), *gone))), gone
    demanding = deepcopy(old)
    _at(demanding, STATUS)["parameters"].append({"in": "query", "name": "key", "required": True, "schema": {}})
    assert list(breaking(old, demanding)) == [f"/{'/'.join(STATUS)}/parameters demands ('query', 'key')"]
    narrower = deepcopy(old)
    _at(narrower, ("components", "schemas", "PayloadStatusEnum"))["enum"].remove("missing")
    assert list(breaking(old, narrower))
    retyped = deepcopy(old)
    _at(retyped, ("components", "schemas", "Payload", "properties", "bytes_done"))["type"] = "string"
    assert list(breaking(old, retyped))
    more = deepcopy(old)
    more["paths"]["/api/new/"] = {}
    _at(more, ("components", "schemas", "Payload", "properties"))["new"] = {"type": "string"}
    _at(more, STATUS)["parameters"].append({"in": "query", "name": "new", "schema": {}})
    _at(more, STATUS)["description"] = "Other words."
    assert list(breaking(old, more)) == []


def test_the_schema_is_served_to_anybody_as_it_is_committed() -> None:
    response = Client().get("/api/schema/")
    assert response["Content-Type"] == "application/vnd.oai.openapi+json"
    assert response.json() == committed()


def test_every_address_of_the_contract_is_in_it_once() -> None:
    assert sorted(committed()["paths"]) == [
        "/api/calls/",
        "/api/calls/{call_sid}/",
        "/api/recordings/events",
        "/api/recordings/status",
        "/api/recordings/{call_sid}/download",
        "/api/recordings/{call_sid}/peaks",
        "/api/recordings/{call_sid}/status",
        "/api/recordings/{call_sid}/stream",
    ]


def test_the_documentation_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    response = Client().get("/api/docs/")
    page = response.content.decode()
    assert response.status_code == 200
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert "//" not in page.replace("<!DOCTYPE html>", "").replace("://", "!") or "http" not in page
    assert "<style" not in page
    assert "<script>" not in page
    assert " style=" not in page


@pytest.fixture
def operations() -> list[Any]:
    """What can be asked for, as schemathesis sees it, with the application behind it; made once for all examples."""
    contract = schemathesis.openapi.from_wsgi("/api/schema/", WSGIHandler())
    # Events never end; tests of their own read them.
    finite = contract.exclude(operation_id="recordings_events")
    return [each.ok() for each in finite.get_all_operations() if isinstance(each, Ok)]


@pytest.mark.django_db(transaction=True)
@examples(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_asked_the_answer_is_one_of_the_contract(data: st.DataObject, operations: list[Any]) -> None:
    business = make_business()
    rows = [make_recording(business, status) for status in ("missing", "queued", "downloading", "failed")]
    rows += [make_ready(business), make_recording(business, "failed", recording_reason="gone")]
    sids = [make_call(business).call_sid, make_recording(make_business()).call_sid, *(row.call_sid for row in rows)]
    token = program_of(make_manager(business)).defaults["HTTP_AUTHORIZATION"]

    case = data.draw(data.draw(st.sampled_from(operations)).as_strategy(), label="case")
    if "call_sid" in (case.path_parameters or {}) and data.draw(st.booleans()):
        case.path_parameters["call_sid"] = data.draw(st.sampled_from(sids), label="call_sid")
    if case.headers:
        case.headers.pop("Prefer", None)  # a wait is tested elsewhere
    if case.query:
        case.query.pop("live", None)
    case.call_and_validate(
        headers={"Authorization": token},
        checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance],
    )

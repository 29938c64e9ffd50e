"""The table of misbehaviours."""

import json
from pathlib import Path

import pytest

from demo.misbehaviour import TABLE
from demo.provider import Provider
from demo.tests.client import HELLO, Client


def test_every_misbehaviour_leaves_the_server_well(provider: Provider) -> None:
    for name in TABLE:
        with Client(provider) as client:
            client.send(f"/recordings/hello-{name}", "HEAD")
            provider.wait_for(f"hello-{name}", requests=1)
    with Client(provider) as client:
        assert client.ask("/recordings/hello").body == HELLO


def test_an_unknown_misbehaviour_or_option_is_refused_with_what_there_is(provider: Provider) -> None:
    with pytest.raises(ValueError, match="use one of slow-start"):
        provider.misbehave("x", "nothing")
    with pytest.raises(ValueError, match="Unexpected option speed; use milliseconds"):
        provider.misbehave("x", "slow-start", speed=1)


def test_options_can_be_written_as_json() -> None:
    for misbehaviour in TABLE.values():
        assert json.loads(json.dumps(misbehaviour.options)) == misbehaviour.options


def test_all_are_tested() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in TABLE if f'"{name}"' not in sources and f'hello-{name}"' not in sources] == []

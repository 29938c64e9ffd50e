"""What a Provider's methods do, over HTTP, for tests and people in other processes. JSON in and out, no credentials.

GET    /_control/counts[?recording=NAME]      counts; without a name all, with the totals
GET    /_control/log[?recording=NAME]         the last requests, oldest first, without their credentials
GET    /_control/misbehaviours                their names, options and what they do
GET    /_control/audio?url=PATH               what is served there: sha256, bytes, content_type, duration, channels
PUT    /_control/audio?recording=NAME         serve the body, under its Content-Type, as this recording
POST   /_control/behaviour                    {"recording": NAME or "*", "name": …, "first": N or null, "options": {…}}
DELETE /_control/behaviour[?recording=NAME]   behave again
POST   /_control/gate                         {"recording": NAME or "*"}: open it; {"close": true}: close all
POST   /_control/latency                      {"seconds": S}: before every answer
POST   /_control/reset                        counts, log, misbehaviours, gates and what was put
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from demo.counts import Seen, read_headers
from demo.library import Audio, head
from demo.misbehaviour import TABLE
from demo.rules import ALL
from demo.server import Request

if TYPE_CHECKING:
    from demo.provider import Provider

Query = dict[str, str]
Body = dict[str, Any]


def control(provider: "Provider", request: Request) -> bool:
    """Answer one request under /_control/: 200, 400 with what is wrong, 403 for a web page, 404."""
    parts = urlsplit(request.target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    action = ACTIONS.get((request.method, parts.path.removeprefix("/_control/")))
    said: object
    try:
        if action is None:
            status, said = 404, error("Nothing is here. " + ", ".join(f"{method} {name}" for method, name in ACTIONS))
        elif b"\r\norigin:" in request.lower:
            status, said = 403, error("Web pages may not control the provider.")
        else:
            status, said = 200, action(provider, request, query)
    except (ValueError, KeyError, TypeError) as problem:
        status, said = 400, error(f"{type(problem).__name__}: {problem}")
    body = json.dumps(said).encode()
    lines = "Content-Type: application/json", f"Content-Length: {len(body)}", "Cache-Control: no-store"
    request.sock.sendall(head(status, *lines) + body)
    return True


def error(message: str) -> dict[str, str]:
    """The body of a refusal."""
    return {"error": message}


def _counts(provider: "Provider", request: Request, query: Query) -> object:
    if "recording" in query:
        return asdict(provider.count(query["recording"]))
    return {
        "total": asdict(provider.counts.total()),
        "recordings": {name: asdict(count) for name, count in provider.counts.all().items()},
        "at_once": provider.counts.at_once,
        "most_at_once": provider.counts.most_at_once,
    }


def _log(provider: "Provider", request: Request, query: Query) -> object:
    wanted = query.get("recording")
    return [describe(seen) for seen in provider.log() if wanted in (None, seen.recording)]


def describe(seen: Seen) -> dict[str, object]:
    """A request without its credentials: only their scheme."""
    headers = dict(seen.headers)
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].partition(" ")[0]
    named = {"at": seen.at, "recording": seen.recording, "method": seen.method, "target": seen.target}
    return {**named, "status": seen.status, "headers": headers}


def _misbehaviours(provider: "Provider", request: Request, query: Query) -> object:
    return [
        {
            "name": name,
            "does": inspect.getdoc(one.run.func if isinstance(one.run, partial) else one.run),
            "first": one.first,
            "options": one.options,
        }
        for name, one in TABLE.items()
    ]


def _audio(provider: "Provider", request: Request, query: Query) -> object:
    found = provider.audio(query["url"])
    facts = {"content_type": found.content_type, "duration": found.duration, "channels": found.channels}
    return {"sha256": found.sha256, "bytes": len(found.body), **facts}


def _put_audio(provider: "Provider", request: Request, query: Query) -> object:
    content_type = read_headers(request.head).get("content-type", "application/octet-stream")
    provider.put(query["recording"], Audio(request.body, content_type))
    return {}


def _add_behaviour(provider: "Provider", request: Request, query: Query) -> object:
    asked = _body(request)
    first = asked.get("first")
    if first is not None and (type(first) is not int or first < 0):
        raise ValueError(f"Unexpected {first=}, use a number of requests or null")
    provider.rules.add(str(asked.get("recording", ALL)), str(asked["name"]), first, dict(asked.get("options") or {}))
    return {}


def _drop_behaviour(provider: "Provider", request: Request, query: Query) -> object:
    provider.behave(query.get("recording"))
    return {}


def _gate(provider: "Provider", request: Request, query: Query) -> object:
    asked = _body(request)
    if asked.get("close"):
        provider.close_gates()
    else:
        provider.open_gate(str(asked.get("recording", ALL)))
    return {}


def _latency(provider: "Provider", request: Request, query: Query) -> object:
    seconds = float(_body(request)["seconds"])
    if not 0 <= seconds <= 3600:
        raise ValueError(f"Unexpected {seconds=}, use 0 to 3600")
    provider.latency = seconds
    return {}


def _reset(provider: "Provider", request: Request, query: Query) -> object:
    provider.reset()
    return {}


def _body(request: Request) -> Body:
    """The JSON object of a request; ValueError for anything else."""
    asked = json.loads(request.body or b"{}")
    if not isinstance(asked, dict):
        raise ValueError("Unexpected JSON, use an object")
    return asked


ACTIONS: dict[tuple[str, str], Callable[["Provider", Request, Query], object]] = {
    ("GET", "counts"): _counts,
    ("GET", "log"): _log,
    ("GET", "misbehaviours"): _misbehaviours,
    ("GET", "audio"): _audio,
    ("PUT", "audio"): _put_audio,
    ("POST", "behaviour"): _add_behaviour,
    ("DELETE", "behaviour"): _drop_behaviour,
    ("POST", "gate"): _gate,
    ("POST", "latency"): _latency,
    ("POST", "reset"): _reset,
}

"""Imports go one way. Read from the source of every module, so that an import inside a function counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
OURS = ("calls", "recordings", "demo", "prosaasil")

LEAVES = {
    "recordings.reasons": set(),
    "recordings.results": {"recordings.reasons"},
    "recordings.backoff": set(),
    "recordings.tally": set(),
    "recordings.counting": {"recordings.reasons", "recordings.tally"},
    "recordings.expressions": set(),
    "recordings.plots": set(),
    "recordings.bell": set(),
    "recordings.news": {"recordings.bell"},
    "recordings.download.errors": {"recordings.reasons"},
    "recordings.download.audio": {
        "recordings.download.errors", "recordings.download.mp3_header", "recordings.download.ogg_pages",
        "recordings.download.peaks", "recordings.download.wav_header",
    },
    "recordings.download.peaks": set(),
    "recordings.download.wav_header": {"recordings.download.errors", "recordings.download.peaks"},
    "recordings.download.mp3_header": {"recordings.download.errors"},
    "recordings.download.ogg_pages": {"recordings.download.errors"},
    "recordings.part": {"recordings.download.errors"},
    "recordings.storage": {"recordings.download.errors", "recordings.part"},
    "recordings.sidecar": {"recordings.part", "recordings.storage"},
    "recordings.away": {"recordings.download.errors", "recordings.storage"},
}  # fmt: skip
"""What knows no row: each with all of ours that it may import."""

HEART = ["recordings.graph", "recordings.accounts", "recordings.alarms.record", "recordings.attempts",
         "recordings.announcement", "recordings.governor", "recordings.moves",
         "recordings.claims", "recordings.leases", "recordings.lifecycle",
         "recordings.samples", "recordings.models", "recordings.status"]  # fmt: skip
"""From the bottom up; each may import what stands before it, leaves, and calls.models."""

WINGS = ("recordings.download", "recordings.playback")

QUEUE = {
    "recordings.bell", "recordings.broker", "recordings.tasks", "recordings.schedules",
    "recordings.queue_admin",
    "recordings.management.commands.qcluster", "prosaasil.urls",
}  # fmt: skip
NAMED_BY_SETTINGS = {"recordings.tasks", "recordings.broker"}


def modules() -> dict[str, Path]:
    found = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if not {"tests", "migrations"} & set(parts):
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """All modules that `name` imports: `from a import b` is a.b where that is a module of ours, else a."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def ours(name: str) -> set[str]:
    return {other for other in imported(name) if other.split(".")[0] in OURS}


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def in_wing(name: str) -> str | None:
    return next((wing for wing in WINGS if inside(name, wing)), None)


def is_face(name: str) -> bool:
    return inside(name, "recordings") and name not in {*LEAVES, *HEART} and in_wing(name) is None


def test_the_modules_named_here_exist() -> None:
    assert set(LEAVES) | set(HEART) <= set(MODULES)
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_knows_no_row(name: str) -> None:
    assert ours(name) <= LEAVES[name]


@pytest.mark.parametrize("name", HEART)
def test_the_heart_imports_downwards(name: str) -> None:
    below = {*HEART[: HEART.index(name)], *LEAVES, "calls.models", "calls.clock", "recordings"}
    assert ours(name) <= below


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, "calls")])
def test_what_happened_knows_nothing_of_its_audio(name: str) -> None:
    assert not {other for other in ours(name) if not inside(other, "calls")}


@pytest.mark.parametrize("name", [name for name in MODULES if in_wing(name)])
def test_a_wing_imports_neither_the_other_wing_nor_a_face(name: str) -> None:
    wing = in_wing(name)
    assert wing is not None
    allowed = {*HEART, *LEAVES, "calls.models", "calls.clock", "recordings"}
    assert not {other for other in ours(name) if other not in allowed and not inside(other, wing)}


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, "recordings.download.providers")])
def test_providers_know_no_row(name: str) -> None:
    own = "recordings.download.providers"
    leaves = {"recordings.download.errors", "recordings.reasons"}
    assert not {other for other in ours(name) if not inside(other, own) and other not in leaves}


@pytest.mark.parametrize("name", [name for name in MODULES if is_face(name)])
def test_a_face_never_imports_a_provider_nor_what_the_settings_name(name: str) -> None:
    assert not {other for other in ours(name) if inside(other, "recordings.download.providers")}
    assert not ours(name) & NAMED_BY_SETTINGS


@pytest.mark.parametrize("name", MODULES)
def test_one_module_speaks_http_and_few_know_the_queue(name: str) -> None:
    roots = {other.split(".")[0] for other in imported(name)}
    assert not roots & {"requests", "urllib3"} or name == "recordings.download.providers.http"
    assert "django_q" not in roots or name in QUEUE
    assert "pytest" not in roots


def test_the_product_knows_nothing_of_its_proofs() -> None:
    assert not {name for name in MODULES for other in imported(name) if other.split(".")[0] in {"faults", "benchmarks"}}

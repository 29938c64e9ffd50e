"""Mutants of what mutmut leaves out: tables and constants of modules and classes, and decorated functions.

The changes are mutmut's own, less those that would only break the import, and each element taken out of a list, tuple,
set or dict. Such code runs when its module is imported, so in a forked process it is run anew.
"""

import ast
import itertools
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import pytest
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_assignment

from mutation import forked

PROCESSES = 2
CPU_SECONDS = 60
"""What a mutant's tests may take; a mutant that takes more has been noticed."""

_OURS = {"calls", "demo", "prosaasil", "recordings"}

_BREAK_THE_IMPORT = (operator_arg_removal, operator_assignment)

_NO_MUTATE = (b"pragma: no mutate", b"logging.getLogger(")


@dataclass(frozen=True)
class Mutant:
    """One change of a module."""

    path: str
    line: int
    before: str
    after: str
    source: str
    """The whole module, changed."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  →  {self.after}"


def mutants(path: str) -> list[Mutant]:
    """All mutants of a module's tables, constants and decorated functions."""
    wrapper = MetadataWrapper(cst.parse_module(Path(path).read_text()), unsafe_skip_copy=True)
    finder = _Finder(wrapper.module.code.encode())
    wrapper.visit(finder)
    code, found = wrapper.module.code, {}
    for span, other in finder.changes:
        before = code.encode()[span.start : span.start + span.length].decode()
        after = wrapper.module.code_for_node(other)
        source = (code.encode()[: span.start] + after.encode() + code.encode()[span.start + span.length :]).decode()
        if before != after and _compiles(source):
            line = code.encode()[: span.start].count(b"\n") + 1
            found[source] = Mutant(path, line, _short(before), _short(after), source)
    return list(found.values())


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (ByteSpanPositionProvider,)

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self.changes: list[tuple[CodeSpan, cst.CSTNode]] = []
        self._code = code
        self._inside: list[cst.FunctionDef] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Import | cst.ImportFrom | cst.Annotation | cst.Decorator | cst.Expr):
            return isinstance(node, cst.Expr) and bool(self._inside) and not isinstance(node.value, cst.SimpleString)
        if isinstance(node, cst.FunctionDef):
            if not node.decorators and not self._inside:
                return False  # mutmut's
            self._inside.append(node)
        span = self.get_metadata(ByteSpanPositionProvider, node, None)
        if isinstance(span, CodeSpan) and not isinstance(node, cst.Module):
            line = self._code[: span.start].rpartition(b"\n")[2] + self._code[span.start :].partition(b"\n")[0]
            if not any(mark in line for mark in _NO_MUTATE):
                self.changes += [(span, other) for other in _changes(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._inside and self._inside[-1] is original_node:
            self._inside.pop()
        super().on_leave(original_node)


def _changes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind) and operator not in _BREAK_THE_IMPORT:
            yield from operator(node)
    if isinstance(node, cst.List | cst.Tuple | cst.Set | cst.Dict):
        for number in range(len(node.elements)):
            rest = [*node.elements[:number], *node.elements[number + 1 :]]
            yield cst.Dict([]) if isinstance(node, cst.Set) and not rest else node.with_changes(elements=rest)


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 100 else f"{line[:60]} … {line[-36:]}"


def _put_in(mutant: Mutant) -> None:
    """Run the changed module in place of the one that was imported, and give what it made to those who had imported it.

    The functions of the old one see the new values too. What other modules of ours have made of the old values when
    they were imported stays as it was, which can only let a mutant live. The tests are imported anew.
    """
    for name in [name for name in sys.modules if ".tests" in name]:
        del sys.modules[name]
    module = sys.modules[mutant.path.removesuffix(".py").replace("/", ".")]
    old = dict(vars(module))
    exec(compile(mutant.source, mutant.path, "exec"), vars(module))  # noqa: S102 - our own source
    ours = [other for name, other in sys.modules.items() if name.partition(".")[0] in _OURS and other is not module]
    for other, (name, value) in itertools.product(ours, old.items()):
        if not name.startswith("__") and vars(other).get(name) is value:
            setattr(other, name, vars(module)[name])


def survivors(found: Iterable[Mutant], tests: Sequence[str]) -> list[Mutant]:
    """Those that no test in these files notices. Raises RuntimeError if a test fails without them."""
    if _pytest(["--collect-only", *tests]) or os.waitstatus_to_exitcode(os.waitpid(_begin(None, tests), 0)[1]) != 0:
        raise RuntimeError(f"A test in {' '.join(tests)} fails without any mutant: see mutants/outside.log.")
    left: list[Mutant] = []
    running: dict[int, Mutant] = {}
    for mutant in found:
        if len(running) == PROCESSES:
            _end_one(running, left)
        running[_begin(mutant, tests)] = mutant
    while running:
        _end_one(running, left)
    return left


def _end_one(running: dict[int, Mutant], left: list[Mutant]) -> None:
    pid, status = os.wait()
    mutant = running.pop(pid)
    if os.waitstatus_to_exitcode(status) == 0:
        left.append(mutant)


def _begin(mutant: Mutant | None, tests: Sequence[str]) -> int:
    """Fork a process that runs these tests; its exit code is pytest's."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_SECONDS, resource.RLIM_INFINITY))
        if mutant is not None:
            _put_in(mutant)
        code = _pytest(tests)
    finally:
        os._exit(code)


def _pytest(arguments: Sequence[str]) -> int:
    """pytest's exit code; what it says goes to mutants/outside.log."""
    with open("mutants/outside.log", "a") as log, redirect_stdout(log), redirect_stderr(log):
        return int(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments], plugins=[forked]))

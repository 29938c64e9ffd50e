"""What a PromQL expression asks for, and which labels its result has; read with Prometheus' own grammar."""

from collections.abc import Iterator

import promql_parser as promql
from promql_parser import AggModifierType, LabelModifierType, MatchOp

Exposed = dict[str, dict[str, set[str]]]
"""Of each series' name: its labels, and the values that each has."""

ADDED = {"instance", "job"}
"""What Prometheus adds to all that it scrapes."""


def selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    """All of its selectors, in order."""
    found: list[promql.VectorSelector] = []
    promql.walk(expression, lambda each: found.append(each) if isinstance(each, promql.VectorSelector) else None)
    return found


def unknown(text: str, exposed: Exposed) -> list[str]:
    """Names, labels and values in this expression that nobody exposes. Raises ValueError for what is no PromQL."""
    expression = promql.parse(text)
    wrong: list[str] = []
    for selector in selectors(expression):
        wrong += _unknown_in(selector, exposed)
    if wrong:
        return wrong

    def visit(each: promql.Expr) -> None:
        if isinstance(each, promql.AggregateExpr) and each.modifier:
            wrong.extend(set(each.modifier.labels) - labels(each.expr, exposed))
        if isinstance(each, promql.BinaryExpr) and each.modifier and each.modifier.matching:
            sides = labels(each.lhs, exposed) | labels(each.rhs, exposed)
            wrong.extend(set(each.modifier.matching.labels) - sides)

    promql.walk(expression, visit)
    return wrong


def labels(expression: promql.Expr, exposed: Exposed) -> set[str]:
    """The labels of its result; of numbers, none."""
    match expression:
        case promql.VectorSelector():
            return set(exposed.get(expression.name or "", {})) | ADDED
        case promql.MatrixSelector():
            return labels(expression.vector_selector, exposed)
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return labels(expression.expr, exposed)
        case promql.AggregateExpr():
            return _aggregated(expression, exposed)
        case promql.Call():
            return set() if expression.func.name == "scalar" else _of_call(expression, exposed)
        case promql.BinaryExpr():
            return _matched(expression, exposed)
    return set()


def _unknown_in(selector: promql.VectorSelector, exposed: Exposed) -> Iterator[str]:
    name = selector.name or ""
    if name == "up":
        return
    if name not in exposed:
        yield name
        return
    for matcher in selector.matchers.matchers:
        values = exposed[name].get(matcher.name)
        if values is None:
            yield f"{name}{{{matcher.name}}}"
            continue
        asked = matcher.value.split("|") if matcher.op in (MatchOp.Re, MatchOp.NotRe) else [matcher.value]
        yield from (f'{name}{{{matcher.name}="{value}"}}' for value in asked if value not in values)


def _aggregated(expression: promql.AggregateExpr, exposed: Exposed) -> set[str]:
    if expression.modifier is None:
        return set()
    named = set(expression.modifier.labels)
    if expression.modifier.type == AggModifierType.By:
        return named
    return labels(expression.expr, exposed) - named


def _of_call(expression: promql.Call, exposed: Exposed) -> set[str]:
    found = set().union(*(labels(argument, exposed) for argument in expression.args))
    return found - {"le"} if expression.func.name == "histogram_quantile" else found


def _matched(expression: promql.BinaryExpr, exposed: Exposed) -> set[str]:
    """Of the left side, where that has any: `and` and comparisons keep it whole, arithmetic drops what is ignored."""
    left, right = labels(expression.lhs, exposed), labels(expression.rhs, exposed)
    matching = expression.modifier.matching if expression.modifier else None
    if not left or matching is None or str(expression.op) in {"and", "unless", "or"}:
        return left or right
    named = set(matching.labels)
    return left & named if matching.type == LabelModifierType.Include else left - named

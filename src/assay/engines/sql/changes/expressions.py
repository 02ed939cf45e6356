"""Expressions of a query: when two are the same, how one is shown, and where two differ.

Nodes are told apart by their `key`, the lower-case name of their class: the library that made them
need not be imported here.
"""

import re
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

from assay.engines.sql.changes.words import short

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

QUERIES = {"select", "union", "intersect", "except"}
_WRITTEN_IN_ANY_CASE = {"identifier", "var", "anonymous"}
_LONG = 80  # characters of a pair of expressions above which only their difference is shown
_LONGEST = 80  # characters of one expression
FULL = 1_000_000  # as many as there are
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+""")
_NEGATED = re.compile(r"\bnot ([\w.\"]+) (is null|in|like|ilike|between|similar to)\b")


def identity(node: Any, home: str = "") -> Hashable:
    """Return a value that is equal for equal expressions, whatever their parentheses and case.

    A column with the qualifier `home` is the same as one without.
    """
    if isinstance(node, list):
        return tuple(identity(item, home) for item in node)
    if not hasattr(node, "args"):
        return node if isinstance(node, Hashable) else str(node)
    if node.key == "paren":
        return identity(node.this, home)
    if node.key in _WRITTEN_IN_ANY_CASE and isinstance(node.this, str):
        rest = tuple(identity(item, home) for item in node.args.get("expressions") or ())
        return (node.key, node.this.lower(), rest)
    if node.key in QUERIES:
        home = ""
    parts = []
    for name, value in sorted(node.args.items()):
        if value is None or value is False or value == []:
            continue
        if name == "table" and node.key == "column" and home and folded(value.name) == home:
            continue
        parts.append((name, identity(value, home)))
    return (node.key, *parts)


def rest_of(node: "Expr", known: set[str]) -> Hashable:
    """Return everything that a node has besides its `known` arguments, to be compared."""
    names = sorted(name for name, value in node.args.items() if value and name not in known)
    return tuple((name, identity(node.args[name])) for name in names)


def folded(name: str) -> str:
    """Return a name as it is compared: DuckDB ignores the case of names, quoted or not."""
    return name.lower()


def shown(node: Any, longest: int = _LONGEST) -> str:
    """Return an expression as SQL on one line, in lower case but for names and texts."""
    if isinstance(node, list):
        return short(", ".join(shown(item) for item in node), longest)
    if not hasattr(node, "args"):
        return str(node)
    text = node.sql(dialect="duckdb", comments=False, normalize_functions="lower")
    names = {inner.name for inner in walk(node) if inner.key == "identifier"}

    def lowered(token: re.Match[str]) -> str:
        word = token[0]
        return word if word[0] in "'\"" or word in names else word.lower()

    return short(_NEGATED.sub(_not_after, _TOKEN.sub(lowered, text)), longest)


def _not_after(match: re.Match[str]) -> str:
    """Return "not a is null" as "a is not null", and so on."""
    if match[2] == "is null":
        return f"{match[1]} is not null"
    return f"{match[1]} not {match[2]}"


def walk(node: "Expr", *, into: Callable[["Expr"], bool] = lambda _: True) -> Iterator["Expr"]:
    """Yield a node and all nodes below it, without those below a node that `into` refuses."""
    yield node
    if into(node):
        for child in node.iter_expressions():
            yield from walk(child, into=into)


def conjuncts(node: "Expr | None") -> list["Expr"]:
    """Return the conditions that are joined by AND."""
    if node is None:
        return []
    if node.key == "paren":
        return conjuncts(node.this)
    if node.key == "and":
        return [*conjuncts(node.this), *conjuncts(node.args["expression"])]
    return [node]


def columns(node: "Expr") -> frozenset[str]:
    """Return the names of the columns in an expression, folded."""
    return frozenset(folded(inner.name) for inner in walk(node) if inner.key == "column")


def subqueries(node: Any) -> list["Expr"]:
    """Return the outermost queries in an expression, or in a list of expressions."""
    if isinstance(node, list):
        return [query for item in node for query in subqueries(item)]
    if not hasattr(node, "args"):
        return []
    return [
        inner for inner in walk(node, into=lambda n: n.key not in QUERIES) if inner.key in QUERIES
    ]


def differing(before: "Expr", after: "Expr", home: str = "") -> tuple["Expr", "Expr", bool]:
    """Return the parts of two long expressions that differ, and whether they are parts only."""
    is_part = False
    while (is_part and before.key == "if") or _is_long(before, after):
        pair = _only_difference(before, after, home)
        if pair is None:
            break
        (before, after), is_part = pair, True
    return before, after, is_part


def _is_long(before: "Expr", after: "Expr") -> bool:
    return len(shown(before, FULL)) + len(shown(after, FULL)) > _LONG


def _only_difference(before: "Expr", after: "Expr", home: str) -> tuple["Expr", "Expr"] | None:
    """Return the only pair of children in which two nodes of one kind differ; None for several."""
    if before.key != after.key or before.key == "paren":
        if before.key == after.key == "paren":
            return before.this, after.this
        return None
    pairs: list[tuple[Any, Any]] = []
    for name in before.args.keys() | after.args.keys():
        old, new = before.args.get(name), after.args.get(name)
        if identity(old, home) == identity(new, home):
            continue
        if not isinstance(old, list) or not isinstance(new, list):
            pairs.append((old, new))
        elif len(old) != len(new):
            return None
        else:
            pairs += [
                (a, b)
                for a, b in zip(old, new, strict=True)
                if identity(a, home) != identity(b, home)
            ]
    if len(pairs) != 1 or not all(hasattr(node, "args") for node in pairs[0]):
        return None
    [(first, second)] = pairs
    return None if first.key == "identifier" else (first, second)

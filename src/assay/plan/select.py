"""Selection syntax in the manner of dbt and Dagster: terms that users type to the names of products."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from assay.errors import UsageError
from assay.plan.graph import Graph

SELECTORS = (
    "Selectors: name, +name, name+, 2+name, name+1, globs with *, tag:, owner:, domain:, path:, "
    "state:modified, stale:, blocked:. Space is union, comma is intersection."
)
_TERM = re.compile(r"^(?P<up>\d{0,4}\+)?(?P<body>.+?)(?P<down>\+\d{0,4})?$")


def select_products(
    graph: Graph,
    terms: Iterable[str],
    exclude: Iterable[str] = (),
    states: Mapping[str, set[str]] | None = None,
) -> set[str]:
    """Return the products that selectors name: space is union, comma is intersection, no selector is all.

    `states` maps `stale`, `blocked` and `state` (for `state:modified`) to the products in that state.
    """
    included = [word for term in terms for word in term.split()]
    if not included and list(terms):
        raise UsageError("the selector is empty", hint=SELECTORS)
    omitted = _named_by(graph, exclude, states) & graph.products.keys()
    chosen = _named_by(graph, included, states) if included else set(graph.products)
    return _with_release_groups(graph, (chosen & graph.products.keys()) - omitted, omitted)


def select_sources(
    graph: Graph,
    terms: Iterable[str],
    exclude: Iterable[str] = (),
    states: Mapping[str, set[str]] | None = None,
) -> set[str]:
    """Return the sources that selectors name, as `select_products`; no selector is all.

    With a source whose rows are stored go its files.
    """
    chosen = _named_by(graph, terms, states) if list(terms) else set(graph.sources)
    chosen |= {graph.products[name].files for name in chosen & graph.products.keys()}
    return (chosen - _named_by(graph, exclude, states)) & graph.sources.keys()


def select_declared(graph: Graph, terms: str) -> set[str]:
    """Return the products and sources that selectors name by what is declared."""
    return _named_by(graph, [terms], None)


def _named_by(
    graph: Graph, terms: Iterable[str], states: Mapping[str, set[str]] | None
) -> set[str]:
    """Return the products and sources that selectors name."""
    chosen = set[str]()
    for word in (word for term in terms for word in term.split()):
        chosen |= _intersection(graph, word, states or {})
    return chosen


def _with_release_groups(graph: Graph, chosen: set[str], omitted: set[str]) -> set[str]:
    """Add the other members of release groups: the members of a group are published all or none.

    Raises UsageError when one of them was excluded.
    """
    group_of = {name: product.release_group for name, product in graph.products.items()}
    groups = {group_of[name] for name in chosen} - {""}
    members = {name for name, group in group_of.items() if group in groups}
    if torn := sorted(members & omitted):
        group = group_of[torn[0]]
        raise UsageError(
            f"{torn[0]} is excluded, but release group {group} is published all or none"
        )
    return chosen | members


def _intersection(graph: Graph, word: str, states: Mapping[str, set[str]]) -> set[str]:
    """Return the products and sources that are in every one of the comma-separated terms."""
    sets = [_term(graph, term, states) for term in word.split(",") if term]
    return set.intersection(*sets) if sets else set()


def _term(graph: Graph, term: str, states: Mapping[str, set[str]]) -> set[str]:
    """Return what one term names: a name or a method, with `+` for what is up- or downstream."""
    match = _TERM.match(term)
    if match is None or match["body"].startswith("+"):
        raise UsageError(f"cannot read the selector {term!r}", hint=SELECTORS)
    matches = _matches(graph, match["body"], states)
    chosen = set(matches)
    for name in matches:
        if match["up"]:
            chosen |= graph.upstream(name, _steps(match["up"]))
        if match["down"]:
            chosen |= graph.downstream(name, _steps(match["down"]))
    return chosen


def _steps(text: str) -> int | None:
    """Return how many steps `2+` or `+2` go; None (any number) for `+`."""
    digits = text.strip("+")
    return int(digits) if digits else None


def _matches(graph: Graph, body: str, states: Mapping[str, set[str]]) -> set[str]:
    """Return the products, or sources, of a term without its `+`."""
    method, colon, value = body.partition(":")
    if not colon:
        return _named(graph, body)
    products = graph.products.values()
    match method:
        case "tag":
            return {p.name for p in products if any(fnmatchcase(tag, value) for tag in p.tags)}
        case "owner":
            return {p.name for p in products if fnmatchcase(p.owner, value)}
        case "domain":
            return {p.name for p in products if fnmatchcase(p.domain, value)}
        case "path":
            return {p.name for p in products if _is_under(p.where.file, value)}
        case "state" if value == "modified":
            return set(states.get("state", ()))
        case "stale" | "blocked" if not value:
            return set(states.get(method, ()))
    raise UsageError(f"cannot read the selector {body!r}", hint=SELECTORS)


def check_matches(graph: Graph, word: str) -> None:
    """Raise UsageError when a selector by tag, owner, domain or path matches no product at all."""
    method, colon, value = word.strip("+0123456789").partition(":")
    known = {
        "tag": {tag for product in graph.products.values() for tag in product.tags},
        "owner": {product.owner for product in graph.products.values()},
        "domain": {product.domain for product in graph.products.values()},
        "path": {product.where.file for product in graph.products.values()},
    }
    if not colon or method not in known or _matches(graph, f"{method}:{value}", {}):
        return
    from difflib import get_close_matches

    close = get_close_matches(value, sorted(known[method]), n=1)
    hint = f"Did you mean {method}:{close[0]}?" if close else ""
    raise UsageError(f"no product has the {method} {value!r}", hint=hint)


def _named(graph: Graph, pattern: str) -> set[str]:
    """Return the products and sources whose name, with or without its domain, matches a name or a glob."""
    if not set(pattern) & set("*?["):
        return {graph.resolve(pattern, sources=True)}
    names = [*graph.products, *graph.sources]
    matches = {
        name
        for name in names
        if fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)
    }
    if not matches:
        raise UsageError(f"no product matches {pattern!r}", hint=SELECTORS)
    return matches


def _is_under(file: str, path: str) -> bool:
    folder = path.removeprefix("./").rstrip("/")
    return fnmatchcase(file, path) or file == folder or file.startswith(f"{folder}/")

"""Which versions `products diff` compares: what a text asks for, and what it may have meant."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from assay.build.workspace import Workspace
from assay.catalog.catalog import Catalog
from assay.catalog.known import known_environments
from assay.catalog.versions import find_version
from assay.decisions import AwaitApproval, Decision
from assay.errors import UsageError
from assay.facts import Version, short
from assay.plan.names import nearest
from assay.plan.select import select_products
from assay.views.published import moment
from assay.views.versions import held_version

_NAMED = ("published", "previous", "held")
_SIDES = "Write v19e3b42, 214, 2011-12-09T07:00, an environment, or held."


class Side(Struct, frozen=True):
    """A version to compare, and how it was asked for."""

    label: str
    version: Version


def side_of(
    workspace: Workspace, steps: Callable[[], Mapping[str, Decision]], name: str, what: str
) -> Side:
    """Return the version of a product that a text asks for.

    - `published`: what readers see; `previous`: what they saw before that.
    - `held`: what is held back.
    - `v19e3…`: the version whose id begins like this; a number: as of that release; a moment:
      what was published then; another text: what is published in that environment.

    `steps` returns the decisions on all products, which `held` needs. Raises UsageError if there is
    none.
    """
    catalog, environment = workspace.catalog, workspace.environment
    if what == "held":
        version = held_version(workspace, name, steps())
        awaits = isinstance(steps()[name], AwaitApproval)
        return Side("awaiting approval" if awaits else "held back", version)
    if what in {"published", "previous"}:
        pointer = catalog.pointers(environment).get(name)
        if pointer is None:
            raise UsageError(f"{name} is not published in {environment}")
        if what == "published":
            return Side(what, catalog.version(pointer.version))
        if not pointer.previous:
            raise UsageError(f"{name} was published once: nothing was published before it")
        return Side(what, find_version(catalog, name, pointer.previous))
    if re.fullmatch(r"v[0-9a-f]+", what):
        version = find_version(catalog, name, what)
        return Side(short(version.id), version)
    environments = known_environments(catalog, workspace.config)
    if what in environments:
        return _at(catalog, name, what, None, what)
    try:
        at = moment(what)
    except UsageError:
        problem = f"{what!r} is no version, release, moment or environment"
        hint = nearest(what, [*environments, *_NAMED]) or _SIDES
        raise UsageError(problem, hint=hint) from None
    if isinstance(at, int) and not catalog.has_release(environment, at):
        raise UsageError(f"there is no release {at} of {environment}")
    label = f"release {what}" if isinstance(at, int) else what
    return _at(catalog, name, environment, at, label)


def _at(
    catalog: Catalog, name: str, environment: str, at: datetime | int | None, label: str
) -> Side:
    pointer = catalog.pointers(environment, at).get(name)
    if pointer is None:
        raise UsageError(f"{name} was not published in {environment} at {label}")
    return Side(label, catalog.version(pointer.version))


def compared_products(workspace: Workspace, words: Sequence[str]) -> list[str]:
    """Return the products that the arguments of `products diff` name, sorted.

    Raises UsageError for words that name none, with what each may be instead: a version, a release,
    a moment or an environment (which --before and --after take), or the nearest product.
    """
    graph, wrong = workspace.graph, []
    for word in dict.fromkeys(words):
        try:
            select_products(graph, [word])
        except UsageError as error:
            if not (re.fullmatch(r"[\w.-]+", word) or _is_moment(word)):
                raise
            wrong.append((error.what, _instead_of_product(workspace, word)))
    if wrong:
        what = "; ".join(what for what, _ in wrong)
        raise UsageError(what, hint=" ".join(hint for _, hint in wrong))
    return sorted(select_products(graph, words))


def _instead_of_product(workspace: Workspace, word: str) -> str:
    """Return what a word that names no product may be."""
    environments = known_environments(workspace.catalog, workspace.config)
    if word == "held":
        return "--held compares what is held back."
    kind = ""
    if word in {*environments, *_NAMED}:
        kind = "An environment" if word in environments else "What is published"
    elif re.fullmatch(r"v[0-9a-f]{4,}", word):
        kind = "A version"
    elif word.isdecimal():
        kind = "A release"
    elif _is_moment(word):
        kind = "A moment"
    if kind:
        return f"{kind} is compared with --before {word} or --after {word}."
    similar = {each: f"--before {each}" for each in (*environments, *_NAMED)}
    similar |= {each: each for each in workspace.graph.products}
    if guess := nearest(word, similar):
        name = guess.removeprefix("Did you mean ").removesuffix("?")
        what = " (an environment)" if name in environments else ""
        return f"Did you mean {similar.get(name, name)}{what}?"
    return (
        "NAMES are products; a version, release, moment or environment is given with --before or"
        " --after."
    )


def _is_moment(word: str) -> bool:
    try:
        moment(word)
    except UsageError:
        return False
    return True

"""Creates and drops environments; what one has published itself."""

from collections.abc import Mapping

from msgspec import Struct

from assay.build.workspace import Workspace
from assay.catalog.known import check_environment, known_environments
from assay.config import bad_environment
from assay.errors import UsageError
from assay.facts import Environment


class Created(Struct, frozen=True, kw_only=True):
    """An environment that was created, and how many products are published in it.

    `release` is the one that copied its pointers; 0 for none. With `again`, it existed before.
    """

    environment: Environment
    again: bool
    release: int
    products: int


class Dropped(Struct, frozen=True, kw_only=True):
    """An environment that was dropped, and how many products were published in it."""

    name: str
    release: int
    products: int


def create(workspace: Workspace, name: str, parent: str | None, *, again: bool) -> Created:
    """Create an environment with the pointers of its parent, or without any (`parent` '').

    None stands for the environment of the settings, or, with `again`, for the parent that it has.
    With `again`, an environment that exists gets the pointers that its parent has now. Raises
    UsageError for names that cannot be used.
    """
    if problem := bad_environment(name):
        raise UsageError(f"the name of an environment {problem}, and is {name!r}")
    catalog, config = workspace.catalog, workspace.config
    known = known_environments(catalog, config)
    if name == config.environment:
        raise UsageError(f"{name} is the environment of the settings: it always exists")
    parents = {each.name: each.parent for each in catalog.environments.all()}
    if again:
        check_environment(catalog, config, name)
        parent = parents.get(name, "") if parent is None else parent
        if not parent:
            raise UsageError(f"{name} has no parent", hint="--from PARENT gives it one.")
        if name in _with_ancestors(parent, parents):
            raise UsageError(f"{parent} was created from {name}: it cannot be its parent")
    elif name in known:
        raise UsageError(
            f"there is an environment {name} already",
            hint="--again gives it the pointers that its parent has now;"
            f" `products env drop {name}` drops it.",
        )
    parent = config.environment if parent is None else parent
    if parent:
        check_environment(catalog, config, parent)
    environment = Environment(name=name, parent=parent, created_at=workspace.clock())
    release = catalog.environments.create(environment, again=again)
    return Created(
        environment=environment,
        again=again,
        release=release.id if release else 0,
        products=len(catalog.pointers(name)),
    )


def _with_ancestors(name: str, parents: Mapping[str, str]) -> set[str]:
    names = set[str]()
    while name and name not in names:
        names.add(name)
        name = parents.get(name, "")
    return names


def drop(workspace: Workspace, name: str) -> Dropped:
    """Drop an environment; raise UsageError for the one of the settings, and one that is in use."""
    catalog, config = workspace.catalog, workspace.config
    check_environment(catalog, config, name)
    if name == config.environment:
        raise UsageError(f"{name} is the environment of the settings: it always exists")
    products = len(catalog.pointers(name))
    release = catalog.environments.drop(name, workspace.clock(), "dropped")
    return Dropped(name=name, release=release.id if release else 0, products=products)

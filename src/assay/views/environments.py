"""The environments: which there are, and how each differs from the one that it was created from."""

from collections.abc import Mapping
from datetime import datetime

from assay.catalog import Catalog
from assay.facts import Pointer
from assay.plan.promotion import own_products
from assay.views.view import View


class EnvironmentView(View, frozen=True, kw_only=True):
    """An environment as it is now.

    - `parent`: the environment that it was created from; '' for none.
    - `created_at`: None for the one of the settings when nothing was published in it.
    - `products`: how many are published.
    - `differs`: products of which it publishes another version than its parent, or that only one
      of the two publishes.
    - `own`: those of them that it has published itself since it was created or promoted.
    - `last_run`: when its last run began; None for none.
    """

    name: str
    parent: str
    created_at: datetime | None
    default: bool
    products: int
    differs: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    last_run: datetime | None = None


def environments(catalog: Catalog, default: str) -> list[EnvironmentView]:
    """Return all environments, the one of the settings (`default`) first."""
    found = {each.name: each for each in catalog.environments.all()}
    names = sorted({*found, default}, key=lambda name: (name != default, name))
    pointers = {name: catalog.pointers(name) for name in names}
    runs = catalog.environments.last_runs()
    views = []
    for name in names:
        each = found.get(name)
        parent = each.parent if each else ""
        bases = catalog.environments.bases(name) if parent else {}
        views.append(
            EnvironmentView(
                name=name,
                parent=parent,
                created_at=each.created_at if each else None,
                default=name == default,
                products=len(pointers[name]),
                differs=_differing(pointers[name], pointers.get(parent, {})) if parent else (),
                own=tuple(own_products(pointers[name], bases)) if parent else (),
                last_run=runs.get(name),
            )
        )
    return views


def _differing(own: Mapping[str, Pointer], parent: Mapping[str, Pointer]) -> tuple[str, ...]:
    versions = {name: pointer.version for name, pointer in own.items()}
    others = {name: pointer.version for name, pointer in parent.items()}
    names = versions.keys() | others.keys()
    return tuple(sorted(name for name in names if versions.get(name) != others.get(name)))

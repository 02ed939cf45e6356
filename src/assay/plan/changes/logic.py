"""The logic of a product, and whether it changed together with what describes it."""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from assay.model import Product, Rule, Where

_TYPES = "types"  # those of its contract, into which its columns are cast
_PURPOSE, _RULES = "purpose", "rules"
_STATEMENTS = {_PURPOSE, _RULES}  # what says how the data should be
_NOWHERE = Where("")
_OF_COLUMNS = {"type", "null", "unique", "strict", "ordered"}  # kinds of demands


def logic_of(product: Product) -> Mapping[str, str]:
    """Return the digest of each thing that the code of a product uses, by name.

    Left out are the types of its contract, which are compared as such, and the functions of
    products in the same module that have the names of its inputs: its parameters hide them.
    """
    hidden = {i.alias for i in product.inputs}
    return {
        name: digest
        for name, digest in product.code.reached.items()
        if name != _TYPES and not ("." in name and name.rpartition(".")[2] in hidden)
    }


class Drift(Struct, frozen=True, kw_only=True):
    """A product whose logic or description changed, and the other one did not.

    - `reached`: what of its code changed, by name; none when the description changed.
    - `described`: what of its description changed; none when the logic changed.
    """

    name: str
    where: Where
    reached: tuple[str, ...] = ()
    described: tuple[str, ...] = ()


def drift_of(before: Product, now: Product, *, same_logic: bool = False) -> Drift | None:
    """Return how logic and description of a product drift apart; None when both or none changed.

    The description is its purpose, its contract and rules with their review dates, and the version
    of the contract. `same_logic` says that other code means the same, such as new names of columns.
    """
    old, new = logic_of(before), logic_of(now)
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    reached = () if same_logic else tuple(differing)
    described = tuple(_described(before, now))
    if reached and not described:
        return Drift(name=now.name, where=now.where, reached=reached)
    stated = tuple(each for each in described if each in _STATEMENTS)
    if stated and not reached:
        return Drift(name=now.name, where=now.where, described=stated)
    return None


def _described(before: Product, now: Product) -> Iterator[str]:
    if before.purpose != now.purpose or before.contract.description != now.contract.description:
        yield _PURPOSE
    if _rules(before) != _rules(now):
        yield _RULES
    if before.contract.digest != now.contract.digest:
        yield "contract"
    reviews = [{rule.text: rule.review_by for rule in p.contract.rules} for p in (before, now)]
    if reviews[0] != reviews[1]:
        yield "review dates"
    if before.contract.version != now.contract.version:
        yield "version"


def _rules(product: Product) -> list[Rule]:
    """Return the rules without those that say only which columns there are, and without places."""
    return [
        replace(rule, where=_NOWHERE, review_by="", owner="", because="")
        for rule in product.contract.rules
        if not (rule.demand and rule.demand.kind in _OF_COLUMNS)
    ]

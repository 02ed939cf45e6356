"""The lineage graph: order, neighbours, connected sets, and selection in the manner of dbt and Dagster."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from msgspec import Struct

from assay.errors import UsageError
from assay.model import Product, Rule, Source
from assay.sensitive import unless

_TERM = re.compile(r"^(?P<up>\d{0,4}\+)?(?P<body>.+?)(?P<down>\+\d{0,4})?$")


class Graph(Struct, frozen=True, dict=True):
    """Products and sources by full name; edges follow what building and judging read."""

    products: Mapping[str, Product]
    sources: Mapping[str, Source]

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Products, each after all it reads; names break ties, so that the order never varies."""
        sorter = TopologicalSorter({name: self._above(name) for name in sorted(self.products)})
        return tuple(sorter.static_order())

    def keep_order(self, order: Iterable[str]) -> None:
        """Take an order that was worked out before; ValueError when it is none of these products."""
        seen: set[str] = set()
        for name in (order := tuple(order)):
            if not seen.issuperset(self._above(name)):
                raise ValueError(f"{name} stands before what it reads")
            seen.add(name)
        if len(order) != len(self.products) or len(seen) != len(order):
            raise ValueError("the order is not that of all products")
        self.__dict__["order"] = order

    @cached_property
    def below(self) -> Mapping[str, tuple[str, ...]]:
        """Products that read each product or source directly."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.products):
            for read in self.products[name].reads:
                found.setdefault(read, []).append(name)
        return {name: tuple(readers) for name, readers in found.items()}

    def _above(self, name: str) -> list[str]:
        return [read for read in self.products[name].reads if read in self.products]

    def cycle(self) -> tuple[str, ...]:
        """Return the path of one cycle, first product repeated at its end; () when there is none."""
        try:
            _ = self.order
        except CycleError as error:
            return tuple(str(name) for name in reversed(error.args[1]))
        return ()

    def sensitive(self, name: str) -> frozenset[str]:
        """Return the patterns of names whose values must not be shown, of a product and of all it is made of."""
        return self._sensitive.get(name, frozenset())

    @cached_property
    def _sensitive(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for name in self.order:
            if patterns := sensitive_in(self.products[name], found):
                found[name] = patterns
        return found

    def upstream(self, name: str, steps: int | None = None) -> set[str]:
        """Return products and sources that `name` is made of, up to `steps` away (None: all)."""
        return self._walk(
            name, steps, lambda n: self.products[n].reads if n in self.products else ()
        )

    def downstream(self, name: str, steps: int | None = None) -> set[str]:
        """Return products made of `name`, up to `steps` away (None: all)."""
        return self._walk(name, steps, lambda n: self.below.get(n, ()))

    def _walk(
        self, name: str, steps: int | None, nexts: Callable[[str], Iterable[str]]
    ) -> set[str]:
        found: set[str] = set()
        edge = {name}
        while edge and steps != 0:
            edge = {n for here in edge for n in nexts(here)} - found
            found |= edge
            steps = None if steps is None else steps - 1
        return found

    def connected(self, names: Iterable[str]) -> list[tuple[str, ...]]:
        """Split products into sets that share lineage (through products, sources or a release group), in order."""
        wanted = set(names)
        leader: dict[str, str] = {}

        def find(node: str) -> str:
            while leader.setdefault(node, node) != node:
                leader[node] = leader[leader[node]]
                node = leader[node]
            return node

        for name in wanted:
            group = self.products[name].release_group
            for other in [*self.products[name].reads, *([f"group:{group}"] if group else [])]:
                leader[find(other)] = find(name)
        sets: dict[str, list[str]] = {}
        for name in self.order:
            if name in wanted:
                sets.setdefault(find(name), []).append(name)
        return [tuple(members) for members in sets.values()]

    def units(self, names: Iterable[str], *, coherent: bool) -> list[tuple[str, ...]]:
        """Split products into what is released together, each set after those that it is made of.

        Coherent: all that is connected. Otherwise each product on its own, or with its release group and whatever
        stands between the members of one.
        """
        if coherent:
            return self.connected(names)
        wanted = set(names)
        leader = {
            name: f"group:{g}" if (g := self.products[name].release_group) else name
            for name in wanted
        }
        while True:
            above = {lead: set[str]() for lead in leader.values()}
            for name in wanted:
                above[leader[name]] |= {
                    leader[r] for r in self.products[name].reads if r in wanted
                } - {leader[name]}
            try:
                order = tuple(
                    TopologicalSorter(
                        {lead: sorted(above[lead]) for lead in sorted(above)}
                    ).static_order()
                )
                break
            except CycleError as error:
                tied = set(error.args[1])
                leader = {
                    name: min(tied) if lead in tied else lead for name, lead in leader.items()
                }
        members: dict[str, list[str]] = {lead: [] for lead in order}
        for name in self.order:
            if name in wanted:
                members[leader[name]].append(name)
        return [tuple(unit) for unit in members.values()]

    # ------------------------------------------------------------------------------------------ names

    def resolve(self, name: str, *, sources: bool = False) -> str:
        """Return the full name of a product (or source) given in full or, when unique, without its domain."""
        known = [*self.products, *(self.sources if sources else ())]
        if full := full_name(name, known):
            return full
        if source := full_name(name, self.sources):
            raise UsageError(
                f"{source} is a source, not a product",
                hint=f"`products show {source}` says which files it has; `products lineage {source}` what reads it.",
            )
        raise UsageError(
            f"there is no {'product or source' if sources else 'product'} {name!r}",
            hint=nearest(name, known),
        )

    def select(
        self,
        terms: Iterable[str],
        exclude: Iterable[str] = (),
        states: Mapping[str, set[str]] | None = None,
    ) -> set[str]:
        """Return the products that selectors name: space is union, comma is intersection, no selector is all.

        `states` maps `stale`, `blocked` and `state:modified` to the products in that state.
        """
        wanted = [t for term in terms for t in term.split()]
        unwanted = [t for term in exclude for t in term.split()]
        if not wanted and list(terms):
            raise UsageError("the selector is empty", hint=SELECTORS)
        chosen = (
            set().union(*(self._all_of(t, states or {}) for t in wanted))
            if wanted
            else set(self.products)
        )
        left_out = set().union(*(self._all_of(t, states or {}) for t in unwanted))
        return self._whole_groups(chosen - left_out, left_out)

    def _whole_groups(self, chosen: set[str], left_out: set[str]) -> set[str]:
        """Add the other members of release groups: they are published all or none, so they are looked after so."""
        groups = {group for name in chosen if (group := self.products[name].release_group)}
        members = {
            name for name, product in self.products.items() if product.release_group in groups
        }
        if torn := sorted(members & left_out):
            group = self.products[torn[0]].release_group
            raise UsageError(
                f"{torn[0]} is excluded, but release group {group} is published all or none"
            )
        return chosen | members

    def _all_of(self, union: str, states: Mapping[str, set[str]]) -> set[str]:
        sets = [self._term(term, states) for term in union.split(",") if term]
        return set.intersection(*sets) if sets else set()

    def _term(self, term: str, states: Mapping[str, set[str]]) -> set[str]:
        match = _TERM.match(term)
        if match is None or match["body"].startswith("+"):
            raise UsageError(f"cannot read the selector {term!r}", hint=SELECTORS)
        found = self._body(match["body"], states)
        chosen = set(found)
        for name in found:
            if match["up"]:
                chosen |= self.upstream(name, int(match["up"][:-1]) if match["up"][:-1] else None)
            if match["down"]:
                chosen |= self.downstream(
                    name, int(match["down"][1:]) if match["down"][1:] else None
                )
        return chosen & set(self.products)

    def _body(self, body: str, states: Mapping[str, set[str]]) -> set[str]:
        method, colon, value = body.partition(":")
        if not colon:
            return self._named(body)
        of = self.products.values()
        match method:
            case "tag":
                return {p.name for p in of if any(fnmatchcase(tag, value) for tag in p.tags)}
            case "owner":
                return {p.name for p in of if fnmatchcase(p.owner, value)}
            case "domain":
                return {p.name for p in of if fnmatchcase(p.domain, value)}
            case "path":
                return {p.name for p in of if _under(p.where.file, value)}
            case "state" if value == "modified":
                return set(states.get("state", ()))
            case "stale" | "blocked" if not value:
                return set(states.get(method, ()))
        raise UsageError(f"cannot read the selector {body!r}", hint=SELECTORS)

    def _named(self, pattern: str) -> set[str]:
        known = [*self.products, *self.sources]
        if not set(pattern) & set("*?["):
            return {self.resolve(pattern, sources=True)}
        found = {
            n for n in known if fnmatchcase(n, pattern) or fnmatchcase(n.partition(".")[2], pattern)
        }
        if not found:
            raise UsageError(f"no product matches {pattern!r}", hint=SELECTORS)
        return found


def sensitive_in(product: Product, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the patterns of names whose values must not be shown of a product; `found` are those of its inputs."""
    made_of = (found.get(i.name, frozenset()) for i in product.inputs)
    patterns = frozenset((*product.contract.sensitive, *product.renamed)).union(*made_of)
    return unless(patterns, product.contract.cleared)


SELECTORS = (
    "Selectors: name, +name, name+, 2+name, name+1, globs with *, tag:, owner:, domain:, path:, state:modified, "
    "stale:, blocked:. Space is union, comma is intersection."
)


def _under(file: str, path: str) -> bool:
    folder = path.removeprefix("./").rstrip("/")
    return fnmatchcase(file, path) or file == folder or file.startswith(f"{folder}/")


def full_name(name: str, known: Collection[str]) -> str:
    """Return which of these names is meant, in full or without its domain; '' for none, UsageError for several."""
    found = [name] if name in known else [full for full in known if full.partition(".")[2] == name]
    if len(found) > 1:
        raise UsageError(
            f"{name!r} could be {' or '.join(sorted(found))}", hint="Give the name in full."
        )
    return found[0] if found else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what `name` may have meant."""
    from difflib import get_close_matches

    by_bare = {full.partition(".")[2] or full: full for full in known}
    by_full = {full: full for full in by_bare.values()}
    pool = by_full if "." in name else by_bare
    close = get_close_matches(name, pool, n=1, cutoff=0.6)
    return f"Did you mean {pool[close[0]]}?" if close else ""


def rule_of(product: Product, words: str) -> Rule:
    """Return the rule of a product that says this, or begins so; UsageError when none does, or several do."""
    rules = product.contract.rules
    found = [r for r in rules if r.text == words] or [
        r for r in rules if words.lower() in r.text.lower()
    ]
    if len(found) == 1:
        return found[0]
    texts = [r.text for r in found or rules]
    if found:
        raise UsageError(
            f"{words!r} could be several rules of {product.name}", hint="; ".join(texts)
        )
    hint = nearest(words, texts) or f"It has: {'; '.join(texts)}"
    raise UsageError(
        f"{product.name} has no rule {words!r}", hint=hint if texts else "It has none."
    )

"""The work that a run did for each product, and the results."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.appeared import Appeared
from assay.build.undeclared import Undeclared
from assay.decisions import AwaitApproval, Blocked, Keep, Publish, Reason
from assay.events import End, Failed, Result, held_parts
from assay.facts import RunSummary, UndeclaredColumn, Version
from assay.rules.verdict import JudgedVersion

_NAMED = 20  # products of each result that are recorded with a run by name


def kind_of(end: End) -> str:
    """Return the result of a product as people call it: published, held back, failed …"""
    match end:
        case Publish():
            return "published"
        case Blocked():
            return "held back"
        case AwaitApproval():
            return "awaiting approval"
        case Keep():
            return "unchanged"
    return type(end).__name__.lower()  # held, failed, left, unfinished, busy


class ProductWork(Struct):
    """The work for one product in this run (see `Result`); `tries` counts failed builds."""

    reasons: tuple[Reason, ...] = ()
    built: bool = False
    judged: bool = False
    seconds: float = 0.0
    parts_built: tuple[int, int] | None = None
    tries: int = 0
    verdict: JudgedVersion | None = None  # on a version that was judged where it was built
    unbuilt: Mapping[str, Failed] = field(default_factory=dict)
    partial_version: Version | None = None


class Results:
    """The work of a run by product, and the results of the products that have settled."""

    def __init__(self, products: Iterable[str], undeclared: Undeclared, appeared: Appeared) -> None:
        self.work = {name: ProductWork() for name in products}
        self.undeclared, self.appeared = undeclared, appeared
        self.results: dict[str, Result] = {}

    def __getitem__(self, product: str) -> ProductWork:
        return self.work[product]

    def add(self, ends: Mapping[str, End]) -> tuple[Result, ...]:
        """Note the ends of products; return their results."""
        results = tuple(
            replace(self._result(name, end), undeclared_columns=self._columns(name))
            for name, end in ends.items()
        )
        self.results |= {result.product: result for result in results}
        return results

    @property
    def missing(self) -> list[str]:
        """The products that have no result yet."""
        return [name for name in self.work if name not in self.results]

    def summary(self, ends: Mapping[str, End], *, at: datetime, seconds: float) -> RunSummary:
        """Return how a run ended: its results, and these ends of other products."""
        results = [*self.results.values(), *(self._result(name, end) for name, end in ends.items())]
        names: dict[str, list[str]] = defaultdict(list)
        for result in results:
            names[kind_of(result.end)].append(result.product)
        counts = {kind: len(products) for kind, products in sorted(names.items())}
        if without_parts := sum(bool(held_parts(result.end)) for result in results):
            counts["parts held back"] = without_parts
        return RunSummary(
            at=at,
            seconds=round(seconds, 3),
            built=sum(result.built for result in results),
            counts=counts,
            names={k: tuple(sorted(v)[:_NAMED]) for k, v in names.items() if k != "unchanged"},
        )

    def _columns(self, name: str) -> tuple[UndeclaredColumn, ...]:
        """Return the undeclared columns that appeared in sources of a product that was built."""
        if not self.work[name].built:
            return ()
        return self.appeared.take(self.appeared.graph.products[name].reads)

    def _result(self, name: str, end: End) -> Result:
        work = self.work[name]
        return Result(
            product=name,
            end=end,
            reasons=work.reasons,
            built=work.built,
            judged=work.judged,
            seconds=round(work.seconds, 3),
            parts_built=work.parts_built,
            undeclared=self.undeclared.of(name),
            unbuilt=work.unbuilt,
            partial_version=work.partial_version,
        )

"""Compares two versions of a product: rows, totals, rules, and who is affected."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.build.compared_columns import ComparedColumns, DiffOptions, compared_columns
from assay.build.differences import compared, hidden_columns, repeats
from assay.build.inputs import Inputs, inputs_as_of_now
from assay.build.workspace import Workspace, open_workspace
from assay.decisions import Decision
from assay.engines.difference import (
    Difference,
    DifferingRow,
    RowChange,
    Total,
    totals,
)
from assay.errors import UsageError
from assay.facts import RuleResult, Status, Version
from assay.model import Product
from assay.plan.observed import Observed
from assay.sensitive import HIDDEN
from assay.views.diff_sides import Side, side_of
from assay.views.diff_views import DiffView, RowView, RuleMoveView, SideView
from assay.views.figures import TotalView
from assay.views.products import ProductViews
from assay.views.words.numbers import count_of

if TYPE_CHECKING:
    import duckdb


_HARMLESS = {"passed", "skipped"}  # between these, nothing happened


class Comparer:
    """Compares versions of products in one environment; what is read once is kept.

    `names` are the products that are compared; None for any.
    """

    def __init__(self, workspace: Workspace, names: Collection[str] | None = None) -> None:
        self._workspace, self._graph, self._names = workspace, workspace.graph, names

    @cached_property
    def _observed(self) -> Observed:
        return self._workspace.observe()

    @cached_property
    def _as_of_now(self) -> tuple[Inputs, Mapping[str, Decision]]:
        return inputs_as_of_now(self._workspace, self._observed, self._names)

    @property
    def _inputs(self) -> Inputs:
        return self._as_of_now[0]

    @property
    def _steps(self) -> Mapping[str, Decision]:
        return self._as_of_now[1]

    @cached_property
    def _views(self) -> ProductViews:
        return ProductViews(
            graph=self._graph, facts=self._observed.facts, now=self._workspace.clock()
        )

    def compare(self, name: str, before: Side, after: Side, options: DiffOptions) -> DiffView:
        """Return what differs between two versions of a product.

        Raises UsageError for columns that it does not have, and for a key of `options` that
        several rows have. Writes all rows that differ to `options.to`.
        """
        old, new = before.version, after.version
        view = DiffView(
            product=name,
            before=_side(before),
            after=_side(after),
            key=(),
            new=0,
            changed=0,
            gone=0,
            changed_values={},
            rules=self._rules(old, new),
        )
        if old.digest == new.digest and old.columns == new.columns:
            return view
        view = replace(
            view, downstream=tuple(self._below(name)), affects=self._views.affected(name)
        )
        if not (old.columns and new.columns):
            return replace(view, notes=(f"a file: {old.bytes:,} -> {new.bytes:,} bytes",))
        product = self._graph.products.get(name)
        columns = compared_columns(old, new, product, options)
        workspace = self._workspace
        with compared(workspace.storage, workspace.config, (old, new), columns, options.to) as (
            connection
        ):
            found = self._compared(connection, product, (old, new), columns, options)
        return replace(view, **found)

    def _below(self, name: str) -> list[str]:
        below = self._graph.downstream(name) if name in self._graph.products else set()
        return [each for each in self._graph.order if each in below]

    def _rules(self, old: Version, new: Version) -> tuple[RuleMoveView, ...]:
        """Return the rules whose results are other ones; none if a version was never judged."""
        results = []
        for version in (old, new):
            verdicts = self._workspace.catalog.verdicts(version.id, self._workspace.environment)
            if not verdicts:
                return ()
            results.append({result.text: _result(result) for result in verdicts[0].results})
        before, after = results
        return tuple(
            RuleMoveView(text=text, before=before.get(text, ""), after=after.get(text, ""))
            for text in {**before, **after}
            if len({before.get(text), after.get(text)} - _HARMLESS) > 0
            and before.get(text) != after.get(text)
        )

    def _compared(
        self,
        connection: "duckdb.DuckDBPyConnection",
        product: Product | None,
        versions: tuple[Version, Version],
        columns: ComparedColumns,
        options: DiffOptions,
    ) -> dict[str, Any]:
        """Return the fields of a view that need rows."""
        hidden = hidden_columns(self._inputs, product, versions)
        key, notes = self._key(
            connection, product, versions, columns, hidden=hidden, options=options
        )
        if options.tolerance and not key:
            raise UsageError("--tolerance needs a key: give --key, or a key in the contract")
        shown = [name for name in columns.measures if name not in hidden]
        by = [name for name in columns.by if name not in hidden]
        difference = Difference(connection, columns.common, key, options.tolerance)
        counts = difference.counts()
        first = shown[0] if shown else ""
        found: dict[str, Any] = {
            "key": key,
            "new": counts[RowChange.NEW],
            "changed": counts[RowChange.CHANGED],
            "gone": counts[RowChange.GONE],
            "columns_added": columns.added,
            "columns_removed": columns.removed,
            "columns_retyped": columns.retyped,
            "changed_values": difference.changed_columns(),
            "notes": tuple(notes),
            "rows": tuple(
                _row_view(row, key, hidden) for row in difference.rows(options.limit, first)
            ),
        }
        if shown:
            found["totals"] = _total_views(totals(connection, shown), ())
        if shown and by:
            found["groups"] = _total_views(totals(connection, shown[:1], by, options.limit), by)
        if options.to:
            difference.write(options.to, sorted(hidden), _copy_options(options.to))
        return found

    def _key(
        self,
        connection: "duckdb.DuckDBPyConnection",
        product: Product | None,
        versions: tuple[Version, Version],
        columns: ComparedColumns,
        *,
        hidden: Collection[str],
        options: DiffOptions,
    ) -> tuple[tuple[str, ...], list[str]]:
        """Return the columns that match rows, and a note if the contract's key cannot."""
        key = columns.key
        if not key or (not options.key and all(self._vouched(product, v) for v in versions)):
            return key, []
        problem = repeats(connection, key, hidden)
        if problem and options.key:
            raise UsageError(
                f"{versions[0].product}: {problem}, so rows cannot be matched by it",
                hint="Add columns to --key, or leave it out: equal rows are counted then.",
            )
        return ((), [f"{problem}: rows are compared as wholes"]) if problem else (key, [])

    def _vouched(self, product: Product | None, version: Version) -> bool:
        """Return whether a rule has found that the contract's key is unique in a version."""
        if product is None:
            return False
        key = set(product.contract.key)
        unique = {
            rule.text
            for rule in product.contract.rules
            if rule.demand
            and rule.demand.kind == "unique"
            and set(rule.demand.arguments.get("columns", ())) <= key
        }
        verdicts = self._workspace.catalog.verdicts(version.id, self._workspace.environment)
        results = verdicts[0].results if verdicts else ()
        return any(r.text in unique and r.status is Status.PASSED for r in results)

    def side(self, name: str, what: str) -> Side:
        """Return the version of a product that a text asks for, as `side_of`."""
        return side_of(self._workspace, lambda: self._steps, name, what)


class Diffs(Struct, frozen=True):
    """Products that were compared, and why others were not."""

    views: Sequence[DiffView]
    skipped: Mapping[str, str]


def diffs(
    workspace: Workspace,
    names: Sequence[str],
    before: str,
    after: str,
    options: DiffOptions,
    *,
    lenient: bool = False,
) -> Diffs:
    """Return what differs between two versions of each of these products.

    A product that lacks one of the two is an error, or with `lenient` is left out.
    """
    if options.to and len(names) != 1:
        raise UsageError("--to writes the rows of one product: name it")
    comparer = Comparer(workspace, names)
    views, skipped = [], {}
    for name in names:
        try:
            old, new = (comparer.side(name, what) for what in (before, after))
        except UsageError as error:
            if not lenient or name not in error.what:
                raise
            skipped[name] = error.what
            continue
        views.append(comparer.compare(name, old, new, options))
    return Diffs(views, skipped)


def diff(
    name: str,
    *,
    before: str = "previous",
    after: str = "published",
    key: Sequence[str] = (),
    measures: Sequence[str] = (),
    by: Sequence[str] = (),
    tolerance: float = 0.0,
    limit: int = 10,
    env: str | None = None,
    project: Path | str | None = None,
) -> DiffView:
    """Return what differs between two versions of a product, as `products diff` prints it.

    `before` and `after` are a version, a release number, a moment or an environment, as text, or
    "published", "previous" or "held". `limit` is how many rows the value has. `project` is a folder
    in the project (by default the working directory). Raises UsageError for what is not there.
    """
    options = DiffOptions(
        key=tuple(key),
        measures=tuple(measures),
        by=tuple(by),
        tolerance=tolerance,
        limit=limit,
    )
    start = Path(project) if project else None
    with open_workspace(env, start=start, last_good=True) as workspace:
        full = workspace.graph.resolve(name)
        return diffs(workspace, [full], str(before), str(after), options).views[0]


# ----------------------------------------------------------------------------------- pieces


def _side(side: Side) -> SideView:
    version = side.version
    return SideView(
        label=side.label,
        version=version.id,
        rows=version.rows,
        data_as_of=version.data_as_of,
    )


def _result(result: RuleResult) -> str:
    """Return a result in words, to compare with another."""
    if result.failing:
        return f"{result.status} ({count_of(result.failing, 'row')})"
    return str(result.status)


def _row_view(row: DifferingRow, key: Sequence[str], hidden: Collection[str]) -> RowView:
    known = row.before if row.change is RowChange.GONE else row.after
    names = [name for name in known if name not in key]
    if row.change is RowChange.CHANGED:
        names = list(row.differing)
    before = {} if row.change is RowChange.NEW else row.before
    after = {} if row.change is RowChange.GONE else row.after
    return RowView(
        change=row.change,
        key=_shown(known, key, hidden),
        before=_shown(before, names, hidden),
        after=_shown(after, names, hidden),
        copies=row.count,
    )


def _shown(
    values: Mapping[str, Any], names: Sequence[str], hidden: Collection[str]
) -> dict[str, Any]:
    return {name: HIDDEN if name in hidden else values[name] for name in names if name in values}


def _total_views(
    found: Sequence[tuple[tuple[Any, ...], Mapping[str, Total]]], by: Sequence[str]
) -> tuple[TotalView, ...]:
    return tuple(
        TotalView(
            column=column,
            before=total.before,
            after=total.after,
            by=total.by,
            group=dict(zip(by, values, strict=True)),
        )
        for values, sums in found
        for column, total in sums.items()
    )


def _copy_options(to: Path) -> str:
    formats = {".csv": "format csv, header", ".parquet": "format parquet"}
    if options := formats.get(to.suffix.lower()):
        return options
    raise UsageError(
        f"{to.name} is named as neither CSV nor Parquet", hint="Name a file .csv or .parquet."
    )

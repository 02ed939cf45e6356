"""How two versions differ, in figures: what a held version would change, or a restated one changed."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from assay.facts import Figures, TotalChange
from assay.sensitive import secret
from assay.views.view import View


class TotalView(View, frozen=True, kw_only=True):
    """The total of a column in both versions, of all rows or of the group `group`."""

    column: str
    before: Any
    after: Any
    by: Any
    group: Mapping[str, Any]


class FiguresView(View, frozen=True, kw_only=True):
    """What a version that is held back would change of what readers have, or a restated one changed.

    `new`, `changed` and `gone` are None where rows were not counted, `changed` also without a key.
    """

    rows_before: int
    rows_after: int
    new: int | None
    changed: int | None
    gone: int | None
    totals: tuple[TotalView, ...]


def figures_view(figures: Figures, patterns: Iterable[str]) -> FiguresView:
    """Return the view of figures, without totals of columns that are sensitive by now."""
    hidden = secret([total.column for total in figures.totals], frozenset(patterns))
    return FiguresView(
        rows_before=figures.rows_before,
        rows_after=figures.rows_after,
        new=figures.new,
        changed=figures.changed,
        gone=figures.gone,
        totals=tuple(_total(total) for total in figures.totals if total.column not in hidden),
    )


def _total(total: TotalChange) -> TotalView:
    before, after = _number(total.before), _number(total.after)
    by = (after or 0) - (before or 0)
    return TotalView(column=total.column, before=before, after=after, by=by, group={})


def _number(value: int | float | str | None) -> Any:
    return Decimal(value) if isinstance(value, str) else value

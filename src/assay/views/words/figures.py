"""Text of how two versions differ, in figures."""

from decimal import Decimal
from typing import Any

from assay.text import clean
from assay.views.figures import FiguresView, TotalView
from assay.views.words.numbers import count_of

_FEW = 3  # totals that are named
_NOISE = 1e-9  # of a sum of floats


def figures_lines(product: str, view: FiguresView, label: str) -> list[str]:
    """Return two lines: the rows, and the totals that change; `label` is "would change" or "changed".

    One line where no row is new, changed or gone.
    """
    if (
        view.new == 0
        and view.gone == 0
        and not view.changed
        and not any(map(_is_moved, view.totals))
    ):
        return ["came out the same" if label == "changed" else f"{label} nothing"]
    return [clean(rows_text(product, view)), clean(totals_text(view, label))]


def rows_text(product: str, view: FiguresView) -> str:
    """Return how many rows there were and are, and how many are new, changed and gone."""
    text = f"rows {view.rows_before:,} -> {view.rows_after:,}"
    if view.new is None or view.gone is None:
        return f"{text}; `products diff {product} --held` counts what is new, changed and gone"
    changed = "" if view.changed is None else f"{view.changed:,} changed, "
    return f"{text}: {view.new:,} new, {changed}{view.gone:,} gone"


def totals_text(view: FiguresView, label: str) -> str:
    """Return by how much totals change, such as "would change net by +173,117.43 (+9.3%)"."""
    moved = [total for total in view.totals if _is_moved(total)]
    if not moved:
        return f"{label} no total" if view.totals else f"{label} {count_of(_moved(view), 'row')}"
    texts = [f"{t.column} by {signed(t.by)}{_in_brackets(t)}" for t in moved[:_FEW]]
    more = f" and {len(moved) - _FEW} more" if len(moved) > _FEW else ""
    return f"{label} {', '.join(texts)}{more}"


def _is_moved(total: TotalView) -> bool:
    """Return whether a total differs by more than floats do that are added up in another order."""
    if not isinstance(total.by, float):
        return bool(total.by)
    largest = max(abs(float(total.before or 0)), abs(float(total.after or 0)))
    return abs(total.by) > _NOISE * largest


def _moved(view: FiguresView) -> int:
    counts = (view.new, view.changed, view.gone)
    return sum(count or 0 for count in counts)


def _in_brackets(total: TotalView) -> str:
    return f" ({share})" if (share := _share(total, "")) else ""


def total_text(total: TotalView) -> str:
    """Return a total before and after, and how much more it is."""
    text = f"{total.column}  {shown(total.before)} -> {shown(total.after)}"
    return f"{text}  ({signed(total.by)}{_share(total, ', ')})" if total.by else text


def _share(total: TotalView, before: str) -> str:
    """Return by which share a total changes, after some text; '' where there was none."""
    return f"{before}{float(total.by) / abs(float(total.before)):+,.1%}" if total.before else ""


def shown(value: Any) -> str:
    """Return a value as people read it; a missing one as `null`."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case Decimal():
            return f"{value:,f}"
        case float():
            return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    return clean(str(value))


def signed(value: Any) -> str:
    return shown(value) if value < 0 else f"+{shown(value)}"

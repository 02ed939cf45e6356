"""The values that `products diff` prints."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from assay.engines.difference import RowChange
from assay.views.figures import TotalView
from assay.views.view import View


class SideView(View, frozen=True, kw_only=True):
    """One of two compared versions: `label` is how it was asked for."""

    label: str
    version: str
    rows: int
    data_as_of: datetime | None = None


class RowView(View, frozen=True, kw_only=True):
    """A row that differs: its key, and the values that differ.

    A new row has no values before, one that is gone none after. `copies` counts equal rows.
    """

    change: RowChange
    key: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    copies: int = 1


class RuleMoveView(View, frozen=True, kw_only=True):
    """A rule whose result is another one; '' where a version was not judged by it."""

    text: str
    before: str
    after: str


class DiffView(View, frozen=True, kw_only=True):
    """What differs between two versions of a product.

    - `key`: the columns that matched the rows; none when whole rows were counted.
    - `new`, `changed`, `gone`: numbers of rows.
    - `columns_added`, `columns_removed`, `columns_retyped`: of the later version.
    - `changed_values`: in how many rows a column has another value.
    - `totals` of the whole versions, `groups` those of groups that moved, largest first.
    - `rows`: the largest differences.
    - `notes`: what readers of this have to know, such as a key that repeats.
    - `effects`: what a version that is held back would change downstream, as far as it was tried.
    """

    product: str
    before: SideView
    after: SideView
    key: tuple[str, ...]
    new: int
    changed: int
    gone: int
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[str, ...] = ()
    changed_values: Mapping[str, int]
    totals: tuple[TotalView, ...] = ()
    groups: tuple[TotalView, ...] = ()
    rows: tuple[RowView, ...] = ()
    rules: tuple[RuleMoveView, ...] = ()
    downstream: tuple[str, ...] = ()
    affects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    effects: tuple["EffectView", ...] = ()

    @property
    def differs(self) -> bool:
        """Return whether rows or columns differ."""
        columns = self.columns_added or self.columns_removed or self.columns_retyped
        return bool(self.new or self.changed or self.gone or columns)


class EffectView(View, frozen=True, kw_only=True):
    """What would become of a product downstream if a version that is held back were published.

    - `result`: `would change`, `the same`, `would be held back`, `would fail`, `would wait`, or
      `not tried`.
    - `why`: the rules that it would fail, the error, or why it was not tried.
    - `difference`: what would change; None where it is not known.
    """

    product: str
    result: str
    why: str = ""
    difference: DiffView | None = None

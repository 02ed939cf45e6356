"""What a version is checked by: its files, and the other tables that its rules read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from assay.engines.tables import InputFiles, StoredTable
from assay.model import Column
from assay.rules.likeness import Secrets


class Evidence(Struct, frozen=True, kw_only=True):
    """The table to check, `this`, its recorded columns and rows, and the tables that rules read.

    `quarantined` are the quarantined rows, and `rows_in` counts the rows before they
    were quarantined. `before` are the columns of the published version to compare with, and `built`
    is when it was built; on a first release both are empty, and no table has the alias `previous`.
    `now` is the moment of the check. `sensitive` maps tables to patterns of the columns that must
    not be shown; `secrets` are sensitive columns whose values a function may have put under another
    name.
    """

    this: StoredTable
    columns: tuple[Column, ...]
    rows: int
    quarantined: StoredTable | None = None
    rows_in: int | None = None
    other_tables: tuple[InputFiles, ...] = ()
    before: tuple[Column, ...] = ()
    built: datetime | None = None
    now: datetime
    sensitive: Mapping[str, frozenset[str]] = field(default_factory=dict)
    secrets: Sequence[Secrets] = ()


class PartEvidence(Struct, frozen=True, kw_only=True):
    """A part to be judged, with its recorded findings; None when none are recorded.

    `aside` are the rows that were set aside of it, and `rows_in` counts the rows before that; None
    when no rule sets rows aside. `lost` rows are neither published nor set aside.
    """

    key: str
    id: int
    table: StoredTable
    rows: int
    aside: StoredTable | None = None
    rows_in: int | None = None
    lost: int = 0
    remembered: Mapping[str, Any] | None = None

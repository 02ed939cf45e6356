"""What is declared: products, sources, rules, contracts and their parts, as frozen values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct, field

PREVIOUS = "previous"
QUARANTINE = "quarantine"
THIS = "this"
DIMENSIONS = (
    "accuracy",
    "completeness",
    "conformity",
    "consistency",
    "coverage",
    "timeliness",
    "uniqueness",
)


class Where(Struct, frozen=True, order=True):
    """A place in the user's project: a file, relative to the project root, and a line (from 1; 0 is the whole file)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Severity(StrEnum):
    """What a failing rule does: an error holds the version back, a warning lets it out and says so."""

    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """How a product is made."""

    FUNCTION = "function"
    SQL = "sql"
    FILE = "file"
    QUARANTINE = "quarantine"


class Consumer(Struct, frozen=True, kw_only=True):
    """Someone who decides something from a product."""

    name: str
    decides: str = ""
    contact: str = ""


class Freshness(Struct, frozen=True, kw_only=True):
    """A promise: the data `covers` a period and is there `by` a local time (`HH:MM`) on the days of a calendar."""

    by: str
    tz: str = "UTC"
    on: str = ""
    covers: str = ""

    def __str__(self) -> str:
        days = f" on {self.on} working days" if self.on else ""
        covers = f", covering the {self.covers}" if self.covers else ""
        return f"by {self.by} {self.tz}{days}{covers}"


class Column(Struct, frozen=True, kw_only=True, gc=False):
    """A column and its type, spelled as DuckDB spells it (`DECIMAL(18,2)`).

    `logical` is the Polars type of a stored or declared column where DuckDB's spelling leaves some out (a zone).
    """

    name: str
    type: str
    logical: str = ""


class Partition(Struct, frozen=True, kw_only=True):
    """What a table is split by: columns (or placeholders of a path), or, in time, how much of it a part holds.

    `grain` is day, week, month, quarter or year; '' for the value itself. `in_rows`: where a table has the column,
    every row says itself which part it is of. The parts of a source without placeholders are its files: then the name
    is the source's own.
    """

    names: tuple[str, ...]
    grain: str = ""
    in_rows: bool = False


class Input(Struct, frozen=True, kw_only=True):
    """One input of a product: the name its code uses and the full name of the product or source behind it.

    `grain` is set where the product follows it part by part: how coarse its parts are. For each of its own parts, the
    product then sees that part of the input, and so many before it (`back`).
    """

    alias: str
    name: str
    grain: str | None = None
    back: int = 0


class Demand(Struct, frozen=True, kw_only=True):
    """One thing that is demanded of every row, or of the columns, as data that JSON can hold.

    `kind` is `type`, `null`, `unique`, `strict`, `ordered`, `condition` (SQL), the name of a built-in check of pandera,
    or `custom` for a check of the user's. `column` is '' for the frame; with `pattern` it is a regular expression of
    names. `place` finds it in the declaration again.
    """

    kind: str
    place: str
    column: str = ""
    pattern: bool = False
    ignore_na: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Rule(Struct, frozen=True, kw_only=True):
    """A statement in business words that data can pass or fail.

    It has a `demand`, or `sql`: a query that returns the violating rows and reads `inputs` (`this`, `previous` and
    other products). A query that `compares` returns all it looked at, with a value `__measured` and a boolean
    `__fails`. `warn_above` and `fail_above` say how many failing rows are too many ("10", "0.5 %", "" for any number);
    `review_by` is a date (ISO 8601); `closes` says up to when rows are settled, by the column `dated` in the zone `tz`,
    how long after the end of a period (`grace`), and whether new rows of settled time are held (`holds_new`). A rule
    on the age of the latest event says `within` how many seconds of now it has to be.
    It is `clocked` when it asks what time it is.
    """

    text: str
    where: Where
    severity: Severity = Severity.ERROR
    dimension: str = ""
    because: str = ""
    owner: str = ""
    review_by: str = ""
    warn_above: str = ""
    fail_above: str = "0"
    quarantines: bool = False
    demand: Demand | None = None
    sql: str = ""
    compares: bool = False
    threshold: str = ""
    closes: str = ""
    grace: str = ""
    holds_new: bool = False
    dated: str = ""
    within: float | None = None
    tz: str = "UTC"
    inputs: tuple[Input, ...] = ()
    clocked: bool = False


class Contract(Struct, frozen=True, kw_only=True, dict=True):
    """What a product promises: columns and types, key, and rules. `digest` names the promise as a whole.

    Values of the columns that a regular expression in `sensitive` matches are never shown, stored or logged; those that
    one in `cleared` matches may be, whatever they are made of.
    """

    digest: str
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    sensitive: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The names that its rules read, sorted."""
        return tuple(sorted({i.name for rule in self.rules for i in rule.inputs}))

    @cached_property
    def closes(self) -> tuple[Rule, ...]:
        """Its rules about settled rows."""
        return tuple(rule for rule in self.rules if rule.closes)


class Code(Struct, frozen=True, kw_only=True):
    """What makes a product, digested; `reached` maps each thing the code reaches to its own digest."""

    digest: str
    reached: Mapping[str, str] = field(name="parts", default_factory=dict)


class Source(Struct, frozen=True, kw_only=True):
    """Files made elsewhere: observed, never built. `reading` digests how they are read.

    `pattern` is a glob; `path_regex` finds in a path what its part is called, and the values of `path_columns`; those
    of `path_escaped` are written as in a URL. `format` is csv, parquet, jsonl, or `file` for one that is no table.
    """

    name: str
    where: Where
    pattern: str
    format: str
    columns: tuple[Column, ...]
    null_values: tuple[str, ...] = ()
    delimiter: str = ","
    owner: str = ""
    purpose: str = ""
    reading: str = ""
    partition: Partition | None = None
    path_regex: str = ""
    path_columns: tuple[Column, ...] = ()
    path_escaped: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether its files are CSV or JSON lines."""
        return self.format in {"csv", "jsonl"}

    @property
    def is_file(self) -> bool:  # and no table
        return self.format == "file"

    @property
    def path_groups(self) -> tuple[tuple[Column, int], ...]:
        """The columns whose values are in the path, each with the number of its group in `path_regex`."""
        names = self.partition.names if self.partition else ()
        return tuple((column, names.index(column.name) + 1) for column in self.path_columns)


class Product(Struct, frozen=True, kw_only=True, dict=True):
    """A table or file that this project makes, as plain data: all that deciding needs, nothing that runs.

    `timeout` is how long (seconds; 0: any time) making it, or one part of it, may take. `renamed` are patterns of the
    names that its query gives to sensitive values.
    It `changes_with` the "day" (or hour, month …), if what makes it asks for the time it is `clocked`; `moment` is what
    it takes for now.
    """

    name: str
    where: Where
    kind: Kind
    code: Code
    contract: Contract
    owner: str
    purpose: str = ""
    inputs: tuple[Input, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    tags: tuple[str, ...] = ()
    event_time: str = ""
    freshness: Freshness | None = None
    release_group: str = ""
    file: str = ""
    sql: str = ""
    renamed: tuple[str, ...] = ()
    partition: Partition | None = None
    holds_parts: bool = False
    retries: int = 0
    timeout: float = 0.0
    isolate: bool = False
    changes_with: str = ""
    clocked: bool = False
    moment: datetime | None = None

    @cached_property
    def rule_inputs(self) -> tuple[str, ...]:
        """Full names of the other products that its rules read, sorted."""
        return tuple(
            name for name in self.contract.reads if name not in {THIS, PREVIOUS, self.name}
        )

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Full names of all that it reads, for building or for judging; sorted."""
        return tuple(sorted({*self.rule_inputs, *(i.name for i in self.inputs)}))

    @property
    def follows(self) -> bool:
        """Whether its parts are made one by one, from those of its inputs."""
        return any(i.grain is not None for i in self.inputs)

    @property
    def domain(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def bare(self) -> str:
        """The part of the name after the dot."""
        return self.name.partition(".")[2]

    @property
    def quarantines(self) -> bool:
        """Whether a rule of it sets rows aside."""
        return any(rule.quarantines for rule in self.contract.rules)

    @property
    def runs_python(self) -> bool:
        """Whether making or judging it surely runs code of the user's."""
        own = any(rule.demand and rule.demand.kind == "custom" for rule in self.contract.rules)
        return self.kind in {Kind.FUNCTION, Kind.FILE} or own

    @property
    def queries(self) -> tuple[tuple[str, tuple[Input, ...]], ...]:
        """All SQL that making and judging it runs, each with what it may read."""
        queries = [(self.sql, self.inputs)] if self.sql else []
        for rule in self.contract.rules:
            if rule.sql:
                queries.append((rule.sql, rule.inputs))
            if rule.demand and rule.demand.kind == "condition":
                condition = rule.demand.arguments["sql"]
                queries.append((f"select not (\n{condition}\n)", rule.inputs))
        return tuple(queries)

    @property
    def uses_previous(self) -> bool:
        """Whether a rule compares with what is published now."""
        return PREVIOUS in self.contract.reads

"""What is declared: products, sources, rules, contracts and their parts, as frozen values."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from assay.approvals import Approval

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
    """A place in the user's project: a file, relative to the project root, and a line of it.

    Lines count from 1; 0 stands for the whole file.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Severity(StrEnum):
    """What a failing rule does: an error keeps the version from readers, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """How a product is built.

    - `function`: a Python function returns a table.
    - `sql`: one SQL query.
    - `file`: a Python function writes a file that is not a table to Assay, such as a workbook.
    - `quarantine`: the failing rows that another product set aside.
    - `source`: the rows of files that are made elsewhere, stored as they are declared.
    """

    FUNCTION = "function"
    SQL = "sql"
    FILE = "file"
    QUARANTINE = "quarantine"
    SOURCE = "source"


class Access(StrEnum):
    """Who may read a product or a source.

    - `private`: products of its own domain.
    - `protected`: products of this project.
    - `public`: everyone, also `assay.read`, `assay.connect` and `assay.path`.
    """

    PRIVATE = "private"
    PROTECTED = "protected"
    PUBLIC = "public"


class Consumer(Struct, frozen=True, kw_only=True):
    """A person, team or system that uses a product, and what it decides with it."""

    name: str
    decides: str = ""
    contact: str = ""


class WorkCalendar(Struct, frozen=True, kw_only=True, cache_hash=True):
    """Which days are working days.

    - `name`: as declarations and messages call it, such as "GB-ENG" or "SHOP".
    - `weekdays`: days of the week that are worked on, Monday is 0.
    - `closed`: holidays and other days off, in order.
    - `opened`: working days although the weekday or a holiday says otherwise, in order.
    - `first`, `last`: the days from and until which this is known; about others nothing is known.
    - `origin`: where the holidays are from, such as "holidays 0.109"; '' for none.
    """

    name: str
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    closed: tuple[date, ...] = ()
    opened: tuple[date, ...] = ()
    first: date = date.min
    last: date = date.max
    origin: str = ""


class Freshness(Struct, frozen=True, kw_only=True, cache_hash=True):
    """A promise of how far data reaches by when; `help(assay.Freshness)` is read by users.

        Freshness(by="07:00", tz="Europe/London", on="GB-ENG", covers="previous working day")
        Freshness(within="36h")

    A promise falls due at a time of day (`by`), at the times of a cron expression (`every`), or
    when the newest data is too old (`within`): one of the three.

    - `by`: local time of day, `HH:MM`.
    - `every`: cron expression of the local times, such as "0 7 * * 1-5".
    - `within`: the greatest age of the newest data, such as "36h".
    - `tz`: time zone, an IANA name.
    - `on`: the days on which it falls due: a calendar, by name or made by `calendar()`; "working
      day 3 of GB-ENG" or "last working day of GB-ENG" of each month; '' for every day.
    - `covers`: the period that the data has to reach the end of: "today", "previous day",
      "previous working day", "previous trading day", "previous week", "previous month", "previous
      quarter" or "previous year". '' is the previous working day of `on`, or the previous day.
    - `trading`: the calendar of the trading days that `covers` names; '' is that of the sources.
    - `warn_before`: how long before it falls due people are told that it may not be kept.
    - `at_least`: the share of promises that has to be kept, such as "95 %".
    """

    by: str = ""
    every: str = ""
    within: str = ""
    tz: str = "UTC"
    on: Any = ""
    covers: str = ""
    trading: Any = ""
    warn_before: str = ""
    at_least: str = ""

    def __str__(self) -> str:
        days = f" on {self.on}" if self.on else ""
        if self.within:
            return f"at most {self.within} old{days}"
        at = f"by {self.by}" if self.by else f"every {self.every!r}"
        period = f"the {self.covers}" if self.covers.startswith("previous") else self.covers
        covers = f", covering {period}" if period else ""
        return f"{at} {self.tz}{days}{covers}"


class Column(Struct, frozen=True, kw_only=True, gc=False):
    """A column and its type, spelled as DuckDB spells it (`DECIMAL(18,2)`).

    `logical` is the Polars type where DuckDB's spelling loses something, such as a time zone; else
    ''. `description` says what its values mean, as declared; only shown.
    """

    name: str
    type: str
    logical: str = ""
    description: str = ""


class Partition(Struct, frozen=True, kw_only=True):
    """What splits a table into parts: values of columns, or periods of time.

    - `names`: columns, or placeholders in the paths of a source. A source without placeholders has
      one part for each file; then this is the name of the source.
    - `grain`: length of the period that a part holds: day, week, month, quarter or year. '' when a
      part holds the rows that have one value, or one combination of values.
    - `in_rows`: whether the names are columns of the table, so that every row shows its part.
    """

    names: tuple[str, ...]
    grain: str = ""
    in_rows: bool = False


class Input(Struct, frozen=True, kw_only=True):
    """An input of a product, or of a rule.

    - `alias`: the name that the code of the product uses.
    - `name`: full name of the product or source that is read.
    - `grain`: None when the input is read as a whole. Otherwise each part of the product is built
      from the same part of the input, and this is the grain of the input's parts ('' for values).
    - `back`: how many earlier parts a part of the product reads as well.
    """

    alias: str
    name: str
    grain: str | None = None
    back: int = 0


class Demand(Struct, frozen=True, kw_only=True):
    """One check of every row, or of the columns, as data that JSON can hold.

    - `kind`: `type`, `null`, `unique`, `strict`, `ordered`, `condition` (an SQL expression),
      `accounted`, the name of a built-in check of pandera, or `custom` for a check that the user
      wrote.
    - `place`: identifies the check in the declared schema.
    - `column`: the column that is checked; '' for a check of the whole table.
    - `pattern`: whether `column` is a regular expression of column names.
    - `ignore_na`: whether null passes.
    - `arguments`: arguments of the check, by name.
    """

    kind: str
    place: str
    column: str = ""
    pattern: bool = False
    ignore_na: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Rule(Struct, frozen=True, kw_only=True):
    """A statement about a product, in business words, that its data passes or fails.

    A rule has a `demand`, or a query (`sql`).

    - `text`: the name of the rule, unique in its contract.
    - `dimension`: the dimension of data quality, one of DIMENSIONS; '' when not declared.
    - `because`, `owner`: why the rule exists, and who answers for it; only shown.
    - `review_by`: the day on which the rule should be reviewed (ISO 8601); '' for none.
    - `warn_above`, `fail_above`: how many failing rows are too many, as "10" or "0.5 %"; '' for no
      limit.
    - `quarantines`: whether failing rows are set aside, so that the others can be published.
    - `sql`: query that returns the failing rows. It reads `inputs`: `this`, `previous` (the
      published version) and other products.
    - `compares`: whether the query returns everything that it compared instead, with a number
      `__measured` and a boolean `__fails`.
    - `threshold`: the limit in words, of a rule that compares or that limits the age of events.
    - `least`, `most`: the same as numbers, in the unit of what is measured (rows, hours, a share of
      1, the unit of the column); None for no such limit, and for a rule that counts failing rows.
    - `closes`: rows older than this moment are settled and may not change: "start of month", "30
      days ago" or a date. '' for a rule about anything else.
    - `grace`: how long after the end of a period its rows may still change, as "3 working days".
    - `holds_new`: whether new rows in a settled period fail too.
    - `dated`: the column with the time of a row, for `closes` and `within`.
    - `within`: seconds that the latest event may be old; None for a rule about anything else.
    - `tz`: time zone of `closes`, and of values of `dated` that have none.
    - `measure`, `by`: the column whose totals the rule promises, and the columns that group them;
      '' for a rule about anything else.
    - `clocked`: whether the result depends on the current time.
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
    least: float | None = None
    most: float | None = None
    closes: str = ""
    grace: str = ""
    holds_new: bool = False
    dated: str = ""
    within: float | None = None
    tz: str = "UTC"
    measure: str = ""
    by: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    clocked: bool = False

    @property
    def limits_measured(self) -> bool:
        """Whether it fails where what it measures is too much; false where that can be too little."""
        is_both_ways = self.most is not None and self.least == -self.most
        return self.compares and (self.least is None or is_both_ways)


class Contract(Struct, frozen=True, kw_only=True, dict=True):
    """What a product promises: columns and types, key, and rules.

    - `digest`: identifies the promise as a whole; a verdict counts only under the contract that it
      was given under.
    - `key`: the columns that identify a row.
    - `sensitive`: regular expressions of columns whose values are never shown, logged or stored in
      the catalog.
    - `cleared`: regular expressions of columns that may be shown although they are computed from
      sensitive ones.
    - `version`: its semantic version, such as "1.4.0"; '' for none. No verdict depends on it.
    - `deprecated`: until which day (ISO 8601) a column is kept, by its name.
    - `description`: what its rows are, as declared; only shown.
    """

    digest: str
    description: str = ""
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    sensitive: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    version: str = ""
    deprecated: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The names that its rules read, sorted; they may include `this` and `previous`."""
        return tuple(sorted({i.name for rule in self.rules for i in rule.inputs}))

    @cached_property
    def closes(self) -> tuple[Rule, ...]:
        """The rules about settled rows."""
        return tuple(rule for rule in self.rules if rule.closes)

    def overdue(self, today: date) -> list[Rule]:
        """Return the rules whose review date has passed."""
        return [
            rule
            for rule in self.rules
            if rule.review_by and date.fromisoformat(rule.review_by) < today
        ]


class History(Struct, frozen=True, kw_only=True):
    """How a product keeps the rows of its input as they were.

    - `key`: the columns that identify a row of the input.
    - `since`, `until`: the columns with the moments from when and until when a row was like that.
    """

    key: tuple[str, ...]
    since: str
    until: str


class Code(Struct, frozen=True, kw_only=True):
    """The code of a product, by digest.

    `reached` has the digest of each thing that the code uses, by name: functions, constants,
    modules, the query.
    """

    digest: str
    reached: Mapping[str, str] = field(name="parts", default_factory=dict)


class Dialect(Struct, frozen=True, kw_only=True):
    """How the text of a source's files is written; the defaults are those of plain CSV.

    - `separator`, `quote_char`, `escape`: of CSV; a `quote_char` or `escape` of '' is none.
    - `header`: whether the first line names the columns. `names`: their names by position, which
      replace those of the header; () for the header's.
    - `skip_rows`: lines before the first. `comment_prefix`: how lines that are left out begin.
    - `null_values`: texts that are read as null; also in quotes, with `quoted_nulls`.
    - `decimal_separator`, `thousands`: of numbers; a `thousands` of '' is none.
    - `formats`: the format of days and times by column, as strptime has them.
    - `encoding`: a codec of Python. `member`: a glob of the files that are read in a .zip.
    """

    separator: str = ","
    quote_char: str = '"'
    escape: str = '"'
    header: bool = True
    names: tuple[str, ...] = ()
    skip_rows: int = 0
    comment_prefix: str = ""
    null_values: tuple[str, ...] = ()
    quoted_nulls: bool = True
    decimal_separator: str = "."
    thousands: str = ""
    formats: tuple[tuple[str, str], ...] = ()
    encoding: str = "utf-8"
    member: str = ""

    @property
    def is_recoded(self) -> bool:
        """Whether an engine cannot read the text as it is: it reads a copy."""
        is_escaped = self.escape != self.quote_char
        return bool(self.encoding != "utf-8" or self.skip_rows or self.comment_prefix or is_escaped)


class Naming(Struct, frozen=True, kw_only=True):
    """What the files of a source call a column, by their day.

    `names` has the first day (`2021-01-15`; '' for the first files) and the name from then on, in
    order; a name of '' says that files do not have the column.
    """

    column: str
    names: tuple[tuple[str, str], ...]

    def at(self, day: str) -> str:
        """Return what the files of a day (`2021-01-15`) call the column; '' if they lack it."""
        return next(name for first, name in reversed(self.names) if first <= day)

    @property
    def since(self) -> str:
        """The first day whose files call the column by its name; '' for the first files."""
        return next((first for first, name in self.names if name == self.column), "")

    @property
    def was(self) -> str:
        """What the files before `since` call the column; '' if they lack it, or there are none."""
        return self.names[0][1] if self.since else ""

    @property
    def until(self) -> str:
        """The last day whose files have the column; '' for any."""
        first, name = self.names[-1]
        return "" if name else str(date.fromisoformat(first) - timedelta(days=1))


class Layout(Struct, frozen=True, kw_only=True):
    """How some files of a source differ from the others.

    - `path_regex`: regular expression of their paths; '' for any.
    - `since`, `until`: their first and last day (`2021-01-15`); '' for any.
    - `dialect`: how their text is written.
    - `missing`: the columns that they do not have.
    - `renamed`: what they call columns, by column.
    """

    path_regex: str = ""
    since: str = ""
    until: str = ""
    dialect: Dialect = Dialect()
    missing: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


class Source(Struct, frozen=True, kw_only=True):
    """Files that are made elsewhere: observed, never built.

    - `pattern`: glob of paths; relative to the project root, unless absolute.
    - `format`: csv, parquet, jsonl, json, or `file` for files that are not read as tables.
    - `dialect`: how their text is written.
    - `reading`: digest of how the files are read (format, columns, null values …).
    - `partition`: what splits the source into parts; None for a source without parts.
    - `path_regex`: regular expression of a path; its groups are the values of the placeholders.
    - `path_columns`: columns whose values are in the path.
    - `path_escaped`: placeholders in a folder `key=value`, where values are escaped as in a URL.
    - `path_formats`: placeholders of times that are not written as in ISO, each with its format.
    - `event_time`: the column with the business time of a row; '' for none.
    - `namings`: the columns that not all files have, or not by this name, by the day of the file.
    - `optional`: the columns that a file may lack.
    - `sensitive`: regular expressions of the columns whose values are never shown.
    - `layouts`: how some files differ; each file has the first that fits.
    - `is_frozen`: whether the types of columns were frozen as they are stored (`columns.lock`).
    - `dated`: the placeholder that says the day of a file, and its grain; None without one.
    - `freshness`: until when new data is promised.
    - `poll`: seconds between two looks at the files while `products run` runs; 0 for its default.
    """

    name: str
    where: Where
    pattern: str
    format: str
    columns: tuple[Column, ...]
    dialect: Dialect = Dialect()
    owner: str = ""
    purpose: str = ""
    reading: str = ""
    partition: Partition | None = None
    path_regex: str = ""
    path_columns: tuple[Column, ...] = ()
    path_escaped: tuple[str, ...] = ()
    path_formats: tuple[tuple[str, str], ...] = ()
    event_time: str = ""
    namings: tuple[Naming, ...] = ()
    optional: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()
    is_frozen: bool = False
    dated: Partition | None = None
    freshness: Freshness | None = None
    poll: float = 0.0
    access: Access = Access.PUBLIC

    @property
    def domain(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def has_event_times(self) -> bool:
        """Whether the files have a column with the business time; one in paths is a placeholder."""
        return bool(self.event_time) and self.event_time not in {c.name for c in self.path_columns}

    @property
    def inspected_as(self) -> str:
        """What a file is looked through for: how it is read, and the column with event times."""
        return f"{self.reading} {self.event_time}" if self.has_event_times else self.reading

    @property
    def is_text(self) -> bool:
        """Whether the files are CSV or JSON."""
        return self.format in {"csv", "jsonl", "json"}

    @property
    def is_file(self) -> bool:
        """Whether its files are not read as tables."""
        return self.format == "file"

    def declared_name(self, name: str) -> str:
        """Return the declared name of a column that some files call so."""
        called = (n.column for n in self.namings if name in {each for _, each in n.names})
        return next(called, name)

    @property
    def path_groups(self) -> tuple[tuple[Column, int], ...]:
        """The columns that get values from the path, each with its group number in `path_regex`."""
        names = self.partition.names if self.partition else ()
        return tuple((column, names.index(column.name) + 1) for column in self.path_columns)


EXPIRING = timedelta(days=14)  # before a waiver expires, it is listed as expiring


class Waiver(Struct, frozen=True, kw_only=True):
    """Permission to publish what fails one rule of a product, until a day; it never changes.

    What it tolerates is one of these; anything beyond is held back:
    - `rows`: the failing rows that were examined, by part ('' without parts), as digests.
    - `most_rows`: so many failing rows.
    - `most_measured`: a measured value of at most this.

    - `environment`: where it counts; '' for every one.
    - `parts`: the only parts that it is about; () for all.
    - `until`: the last day on which it counts, in UTC.
    - `author`: who recorded or declared it; `approved_by`: who answers for it.
    - `where`: the place of the declaration; None for one that was recorded by a command.
    - `at`: when it was recorded; None for a declared one.
    - `withdrawn`: when it was withdrawn; None if it was not.
    - `rule_digest`: identifies the rule as it judged when the waiver was recorded; '' for a declared
      one, which is about the rule as it is declared beside it.
    - `changed`: whether the rule is gone, or judges otherwise than then; it is found, not recorded.
    """

    id: str
    product: str
    rule: str
    until: date
    because: str
    author: str
    at: datetime | None = None
    approved_by: str = ""
    environment: str = ""
    parts: tuple[str, ...] = ()
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_rows: int | None = None
    most_measured: float | None = None
    where: Where | None = None
    withdrawn: datetime | None = None
    rule_digest: str = ""
    changed: bool = False

    @property
    def expires(self) -> datetime:
        """The first moment at which it does not count any more."""
        if self.until == date.max:
            return datetime.max.replace(tzinfo=UTC)
        return datetime.combine(self.until + timedelta(days=1), time(), UTC)

    def is_in_force(self, now: datetime) -> bool:
        """Return whether it counts at this moment."""
        given = self.at is None or self.at <= now
        return given and not self.is_over(now)

    def is_over(self, now: datetime) -> bool:
        """Return whether it has expired at this moment, was withdrawn, or its rule has changed."""
        return self.changed or self.withdrawn is not None or now >= self.expires

    def is_expiring(self, now: datetime) -> bool:
        """Return whether it still counts, and ends within 14 days."""
        return not self.is_over(now) and self.expires - now <= EXPIRING

    @property
    def ended(self) -> datetime | None:
        """When it ended, of one that is over; None if that is not known: its rule has changed."""
        if self.withdrawn:
            return min(self.withdrawn, self.expires)
        return None if self.changed else self.expires

    @property
    def how_it_ended(self) -> str:
        """How it ended, of one that is over, as it continues a sentence."""
        if self.withdrawn and self.withdrawn < self.expires:
            return f"was withdrawn on {self.withdrawn:%Y-%m-%d}"
        if self.changed:
            return "is of this rule as it was before it changed"
        return f"expired on {self.until}"

    @property
    def tolerates(self) -> str:
        """What it lets through, in words."""
        if self.most_rows is not None:
            return f"at most {self.most_rows:,} failing row{'s' if self.most_rows != 1 else ''}"
        if self.most_measured is not None:
            return f"a measured value of at most {self.most_measured:,.6g}"
        rows = sum(map(len, self.rows.values()))
        parts = ", ".join(part for part in self.rows if part)
        noun = "row as it was" if rows == 1 else "rows as they were"
        return f"{rows:,} {noun}{f' in {parts}' if parts else ''}"

    @property
    def by(self) -> str:
        """Who answers for it."""
        return self.approved_by or self.author


class Product(Struct, frozen=True, kw_only=True, dict=True):
    """A table or file that this project builds, as plain data: what deciding needs.

    - `event_time`: the column with the business time of a row; '' for none.
    - `release_group`: products with the same group are published together or not at all; '' for
      none.
    - `file`: name of the file, of a product that is a file.
    - `sql`: text of the query, of a product that is a query, in DuckDB's dialect.
    - `dialect`: the dialect that `sql` was translated from; '' for none.
    - `renamed`: regular expressions of the names that the query gives to sensitive values.
    - `incremental`: whether its code reads `previous`, the product's own published version.
    - `history`: of a product that is the history of its input; None for any other.
    - `partition`: what splits the product into parts; None when it has no parts.
    - `holds_parts`: whether only the parts that fail a rule are kept from being published.
    - `retries`: how many more times a failed build is tried.
    - `timeout`: seconds that building the product, or one part of it, may take; 0 for no limit.
    - `isolate`: whether the product is built in a process of its own.
    - `changes_with`: how often the passing of time alone causes a build: "hour", "day", "week",
      "month", "quarter", "year" or "never"; '' for a product that does not read the clock.
    - `clocked`: whether its code or a rule reads the current time.
    - `moment`: the time that counts as now for its code and rules, in UTC; None before a run sets
      it. Of a history, when its input was there, if a test says it.
    - `waivers`: what is declared to be let through although a rule fails.
    - `approvers`: who may approve a version before it is published; () when nobody has to.
    - `approvals`: how many of them have to; `approved` are the approvals that are declared.
    - `budget`: how often in a period a promise may be missed, or data be held back; '' for none.
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
    dialect: str = ""
    renamed: tuple[str, ...] = ()
    incremental: bool = False
    history: History | None = None
    partition: Partition | None = None
    holds_parts: bool = False
    retries: int = 0
    timeout: float = 0.0
    isolate: bool = False
    changes_with: str = ""
    access: Access = Access.PUBLIC
    clocked: bool = False
    moment: datetime | None = None
    waivers: tuple[Waiver, ...] = ()
    approvers: tuple[str, ...] = ()
    approvals: int = 1
    approved: tuple[Approval, ...] = ()
    budget: str = ""

    @cached_property
    def rule_inputs(self) -> tuple[str, ...]:
        """Full names of the other products that its rules read, sorted."""
        return tuple(
            name for name in self.contract.reads if name not in {THIS, PREVIOUS, self.name}
        )

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Full names of everything that is read for building or checking it, sorted."""
        return tuple(sorted({*self.rule_inputs, *(i.name for i in self.inputs)}))

    def reads_in_rules_only(self, name: str) -> bool:
        """Whether rules read a product, and its data do not flow into this one."""
        return name in self.rule_inputs and all(i.name != name for i in self.inputs)

    def rules_that_read(self, name: str) -> tuple[str, ...]:
        """Return the names of the rules that read a product."""
        rules = self.contract.rules
        return tuple(rule.text for rule in rules if any(i.name == name for i in rule.inputs))

    @property
    def follows(self) -> bool:
        """Whether its parts are built one by one, each from the same part of its inputs."""
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
    def is_query(self) -> bool:
        """Whether one query builds it."""
        return self.kind in {Kind.SQL, Kind.SOURCE}

    @property
    def files(self) -> str:
        """Full name of the source that its files are, of a source whose rows are stored; else ''."""
        return self.inputs[0].name if self.kind is Kind.SOURCE else ""

    @property
    def quarantines(self) -> bool:
        """Whether one of its rules sets failing rows aside."""
        return any(rule.quarantines for rule in self.contract.rules)

    @property
    def runs_python(self) -> bool:
        """Whether building or checking it runs Python code of the user."""
        demands = [rule.demand for rule in self.contract.rules if rule.demand]
        has_custom_check = any(demand.kind == "custom" for demand in demands)
        return self.kind in {Kind.FUNCTION, Kind.FILE} or has_custom_check

    @property
    def queries(self) -> tuple[tuple[str, tuple[Input, ...]], ...]:
        """All SQL that building and checking it runs, each query with the inputs it may read."""
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
        """Whether a rule compares with the published version."""
        return PREVIOUS in self.contract.reads

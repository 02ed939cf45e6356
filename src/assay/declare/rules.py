"""Turns the rules of one product, as declared, into rules: their words, their queries, and what these read."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from assay.amounts import amount
from assay.declare import clocks as clockwords
from assay.declare.contracts import check_digest
from assay.declare.imports import Local
from assay.declare.phrases import NotARule, Phrased, phrase, read_of
from assay.declare.pycode import CodeDigest
from assay.declare.words import Declaration, ProductDeclaration, RuleDeclaration, SourceDeclaration
from assay.engines.sql.reader import Parsed
from assay.engines.sql.reader import columns as columns_of
from assay.errors import Problem
from assay.model import DIMENSIONS, PREVIOUS, THIS, Demand, Input, Rule, Severity, Where
from assay.plan.graph import nearest
from assay.rules.schema import Schema, demand_of, is_check
from assay.store.files import not_a_file

_ROWWISE = {"check", "references"}
_COUNTS = {*_ROWWISE, "sql"}


class Names(Protocol):
    """What the rules of a project may refer to, and where mistakes in them go."""

    named: dict[str, Declaration]
    problems: list[Problem]
    local: Local

    def problem(self, what: str, where: Where, hint: str = "") -> None: ...
    def here(self, where: Where) -> Where: ...
    def refer(self, text: Any, domain: str) -> str | None: ...
    def unknown(self, text: str, domain: str, where: Where, *, sql: bool) -> None: ...
    def parse(self, text: str, what: str, where: Where, *, in_file: bool) -> Parsed | None: ...
    def reach(self, declared: ProductDeclaration) -> CodeDigest: ...


class Rulebook:
    """Reads the rules of one product.

    `told` gathers what tells them apart, `aside` the same of those that set rows aside, whatever they allow; `checks`
    are those of pandera, by place.
    """

    def __init__(
        self, names: Names, product: str, declared: ProductDeclaration, schema: Schema
    ) -> None:
        self.names, self.product, self.declared, self.schema = names, product, declared, schema
        self.domain = product.partition(".")[0]
        self.told: list[Any] = []
        self.aside: list[Any] = []
        self.checks: dict[str, Any] = {}

    def read(self) -> list[Rule]:
        """Return the rules, each mistake in them told to `names`."""
        found = []
        for index, declared in enumerate(self.declared.rules):
            where = self.names.here(declared.where)
            try:
                phrased = phrase(declared, self.product, self.declared.event_time)
                rule = self._rule(declared, phrased, where, f"rules:{index}")
                found += [rule] if rule else []
            except NotARule as error:
                self.names.problem(f"{_label(declared, self.product)}: {error}", where)
            except (
                Exception
            ) as error:  # what is given may be anything, and do anything when it is looked at
                told = f"{_label(declared, self.product)} cannot be read: {type(error).__name__}"
                self.names.problem(told, where)
        texts = [rule.text for rule in found]
        for again in {t for t in texts if texts.count(t) > 1}:
            spot = next(rule.where for rule in found if rule.text == again)
            self.names.problem(
                f"{self.product}: two rules say {again!r}", spot, "Give each rule words of its own."
            )
        return found

    def _rule(
        self, declared: RuleDeclaration, phrased: Phrased, where: Where, place: str
    ) -> Rule | None:
        label = f"rule {phrased.text!r} of {self.product}"
        wrong = len(self.names.problems)
        limits = self._limits(declared, label, where)
        self._check_about(declared, label, where)
        rule = Rule(
            text=phrased.text,
            where=where,
            severity=Severity.ERROR if limits[1] else Severity.WARNING,
            dimension=declared.dimension or phrased.dimension,
            because=declared.because,
            owner=declared.owner,
            review_by=declared.review_by,
            warn_above=limits[0],
            fail_above=limits[1],
            quarantines=declared.on_failure == "quarantine",
            compares=phrased.compares,
            threshold=phrased.threshold,
            closes=phrased.closes,
            grace=phrased.grace,
            holds_new=phrased.holds_new,
            dated=phrased.dated,
            tz=phrased.tz,
        )
        if declared.kind == "check" and not phrased.condition:
            made = self._checked(
                rule, declared.given["check"], declared.given["column"], place, label
            )
        else:
            made = self._asked(rule, phrased, label, place)
        return made if made and wrong == len(self.names.problems) else None

    def _checked(self, rule: Rule, check: Any, column: str, place: str, label: str) -> Rule | None:
        """Return a rule that a check of pandera's judges."""
        if not is_check(check):
            self.names.problem(
                f"{label}: its check is {type(check).__name__}",
                rule.where,
                "Give an SQL condition, or pandera.polars.Check.",
            )
            return None
        reach = self.names.reach(self.declared)
        told = [rule.text, column, check_digest(check, "check", reach), dict(reach.parts)]
        self.told.append([*told, rule.warn_above, rule.fail_above])
        self.names.problems += clockwords.in_code(self.declared, reach, label, self.names.local)
        self.aside += [told] if rule.quarantines else []
        if self.declared.file:
            self.names.problem(
                f"{label}: a file has no columns that pandera could check", rule.where
            )
        elif column and not self._has(column):
            self.names.problem(f"{label}: {column!r} is no column of its contract", rule.where)
        self.checks[place] = check
        clocked = bool(reach.clocks)
        return replace(rule, demand=demand_of(check, place, column=column), clocked=clocked)

    def _has(self, column: str) -> bool:
        """Say whether a contract, if it lists columns, lists this one."""
        schema = self.schema.pandera
        return schema is None or not schema.columns or not schema.strict or column in schema.columns

    def _asked(self, rule: Rule, phrased: Phrased, label: str, place: str) -> Rule | None:
        """Return a rule that a query judges, or a condition on every row."""
        query = phrased.sql or f"select (\n{phrased.condition}\n) from this"
        parsed = self.names.parse(query, label, rule.where, in_file=False)
        if parsed is None:
            return None
        self.names.problems += clockwords.in_query(
            self.declared, parsed, label, rule.where, columns=False
        )
        rule = replace(rule, clocked=bool(parsed.moving))
        inputs = [
            i for table in map(str, parsed.tables) if (i := self._input(table, label, rule.where))
        ]
        limits = [rule.warn_above, rule.fail_above, rule.quarantines]
        dates = [rule.closes, rule.grace, rule.holds_new, rule.dated, rule.tz]
        told = [rule.text, parsed.meaning, sorted([i.alias, i.name] for i in inputs)]
        self.told.append([*told, limits, dates])
        if rule.quarantines:
            self.aside.append(told)
            if any(i.name == PREVIOUS for i in inputs):
                hint = "What is set aside is decided while building, before anything is compared."
                self.names.problem(
                    f"{label} quarantines by what is published now", rule.where, hint
                )
        if phrased.condition:
            given = {
                "sql": phrased.condition,
                "columns": sorted(phrased.columns or columns_of(query).names),
            }
            demand = Demand(kind="condition", place=place, arguments=given)
            if THIS not in map(str, self._tables(phrased.condition, label, rule.where)):
                inputs = [i for i in inputs if i.name != THIS]
            return replace(rule, demand=demand, inputs=tuple(inputs))
        return replace(rule, sql=parsed.statement, inputs=tuple(inputs))

    def _tables(self, condition: str, label: str, where: Where) -> Sequence[object]:
        """Return the tables that a condition itself reads."""
        parsed = self.names.parse(f"select not (\n{condition}\n)", label, where, in_file=False)
        return parsed.tables if parsed else ()

    def _input(self, table: str, label: str, where: Where) -> Input | None:
        full = table if table in {THIS, PREVIOUS} else self.names.refer(table, self.domain)
        behind = self.names.named.get(full or "")
        if full is None and (close := difflib.get_close_matches(table, [THIS, PREVIOUS], n=1)):
            self.names.problem(
                f"{label}: unknown table {table!r}", where, f"Did you mean {close[0]}?"
            )
        elif full is None:
            self.names.unknown(table, self.domain, where, sql=True)
        elif isinstance(behind, SourceDeclaration):
            self.names.problem(
                f"{label} reads the source {full}",
                where,
                "Rules read products: make a product of it.",
            )
        elif full == self.product:
            self.names.problem(
                f"{label} names its own product", where, "Write `this`, or `previous`."
            )
        elif isinstance(behind, ProductDeclaration) and behind.file:
            self.names.problem(f"{label}: {full} is a file; rules read tables", where)
        else:
            return Input(alias=table, name=full)
        return None

    # ------------------------------------------------------------------------------------------ what it says of itself

    def _limits(self, declared: RuleDeclaration, label: str, where: Where) -> tuple[str, str]:
        """Return from how many failing rows on it warns, and fails; '' for never."""
        given = {k: v for k in ("warn_above", "fail_above") if (v := getattr(declared, k)) != ""}
        limits = {"warn_above": "", "fail_above": ""}
        for keyword, value in given.items():
            try:
                limit = amount(value)
                limits[keyword] = str(limit)
                if limit.percent and limit.number > 100:
                    self.names.problem(f"{label}: {keyword}={value!r} is more than all rows", where)
                if not limit.percent and limit.number != int(limit.number):
                    hint = f'A share is written "{limit.number * 100:f} %".'
                    self.names.problem(
                        f"{label}: {keyword}={value!r} is no number of rows", where, hint
                    )
            except (ValueError, ArithmeticError):
                self.names.problem(
                    f"{label}: {keyword}={value!r}", where, 'Write rows (10) or a share ("0.5 %").'
                )
        if given and declared.kind not in _COUNTS:
            self.names.problem(
                f"{label} counts no rows, so {' and '.join(given)} mean nothing", where
            )
        if declared.severity == "warning" and "fail_above" in given:
            self.names.problem(
                f"{label} is a warning, and has fail_above=", where, "Leave one of them out."
            )
        if not given:
            limits["warn_above" if declared.severity == "warning" else "fail_above"] = "0"
        if (
            limits["warn_above"]
            and limits["fail_above"]
            and _beyond(limits["warn_above"], limits["fail_above"])
        ):
            self.names.problem(
                f"{label}: warn_above= is more than fail_above=, so it never warns", where
            )
        if declared.on_failure == "quarantine":
            self._check_quarantine(declared, label, where, bounded="fail_above" in given)
            limits["warn_above"] = limits["warn_above"] or "0"
        return limits["warn_above"], limits["fail_above"]

    def _check_quarantine(
        self, declared: RuleDeclaration, label: str, where: Where, *, bounded: bool
    ) -> None:
        if declared.kind not in _ROWWISE:
            hint = "Rows can be set aside by rule.check() and rule.references()."
            self.names.problem(
                f"{label} is not about single rows, so it cannot quarantine", where, hint
            )
        if not bounded:
            hint = 'Say how much is too much: fail_above="1 %".'
            self.names.problem(f"{label} quarantines without a bound", where, hint)

    def _check_about(self, declared: RuleDeclaration, label: str, where: Where) -> None:
        if declared.severity not in set(Severity):
            self.names.problem(
                f"{label}: severity {declared.severity!r}", where, "It is 'error' or 'warning'."
            )
        if declared.on_failure not in {"hold", "quarantine"}:
            self.names.problem(
                f"{label}: on_failure {declared.on_failure!r}",
                where,
                "It is 'hold' or 'quarantine'.",
            )
        if declared.dimension and declared.dimension not in DIMENSIONS:
            hint = nearest(declared.dimension, DIMENSIONS) or f"One of {', '.join(DIMENSIONS)}."
            self.names.problem(f"{label}: dimension {declared.dimension!r}", where, hint)
        if declared.review_by and not _is_date(declared.review_by):
            self.names.problem(
                f"{label}: review_by {declared.review_by!r} is no date",
                where,
                'Write "2027-01-31".',
            )


def told_apart(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules so that no two have the same words."""
    found: dict[str, Rule] = {}
    for rule in rules:
        number, text = 1, rule.text
        while text in found:
            number += 1
            text = f"{rule.text} ({number})"
        found[text] = rule if text is rule.text else replace(rule, text=text)
    return tuple(found.values())


def sql_file(declared: ProductDeclaration) -> Path | None:
    """Return the file that a product's SQL is in, when it is named instead of given."""
    text = str(declared.make).strip()
    return (
        Path(declared.where.file).parent / text
        if text.endswith(".sql") and len(text.split()) == 1
        else None
    )


def text_of(file: Path) -> str:
    """Return the text of a file; OSError for what is no regular file, which might have no end."""
    if kind := not_a_file(file):
        raise OSError(0, f"it is {kind}")
    return file.read_text(encoding="utf-8")


def texts(declared: ProductDeclaration) -> Iterator[str]:
    """Yield the SQL of a product and its rules that can be had without telling what is wrong with it."""
    if isinstance(declared.make, str):
        file = sql_file(declared)
        with suppress(OSError, UnicodeDecodeError):
            yield text_of(file) if file else declared.make
    for rule in declared.rules:
        with suppress(NotARule, UnicodeError):  # told when the rule is read
            yield from read_of(rule)


def _beyond(warn: str, fail: str) -> bool:
    first, second = amount(warn), amount(fail)
    return first.percent == second.percent and first.number > second.number


def _label(declared: RuleDeclaration, product: str) -> str:
    return (
        f"rule {declared.text!r} of {product}"
        if declared.text
        else f"rule.{declared.kind} of {product}"
    )


def _is_date(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text)) and len(text) == 10
    except ValueError:
        return False

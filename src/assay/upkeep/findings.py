"""What `verify` found, as data and as text."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from msgspec import Struct, field, to_builtins

from assay.facts import short
from assay.text import clean


class FindingKind(StrEnum):
    """A kind of finding, by the name that `--json` gives it."""

    CATALOG = "catalog"  # the database says that it is damaged
    CONTRADICTION = "contradiction"
    MISSING = "missing"
    TRUNCATED = "truncated"
    EDITED = "edited"
    UNREADABLE = "unreadable"
    LINKED = "linked"
    WRITABLE = "writable"
    FOREIGN = "foreign"

    @property
    def loses_bytes(self) -> bool:
        """Whether the bytes of a file that the catalog names are lost."""
        return self in {
            FindingKind.MISSING,
            FindingKind.TRUNCATED,
            FindingKind.EDITED,
            FindingKind.UNREADABLE,
        }

    @property
    def is_damage(self) -> bool:
        """Whether it is more than a notice."""
        return self is not FindingKind.WRITABLE


class Finding(Struct, frozen=True, kw_only=True):
    """One problem, what the user can do about it, and what `--repair` did.

    `versions` are the ids of those in the file, published versions first. `readers` are the
    environments in which one of them is published; without any, only history is concerned.
    """

    kind: FindingKind = field(name="found")
    message: str = field(name="says")
    advice: str = field(name="do", default="")
    file: str = ""
    product: str = ""
    versions: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    repaired: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """The findings, and how many `files`, `versions` and `bytes` were checked.

    `recovered` are dead runs whose files were removed, `problems` why lost products could not be
    built again.
    """

    findings: tuple[Finding, ...]
    files: int = 0
    versions: int = 0
    bytes: int = 0
    recovered: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def damaged(self) -> list[Finding]:
        """The damage that is not repaired."""
        return [f for f in self.findings if f.kind.is_damage and not f.repaired]

    @property
    def exit_code(self) -> int:
        return 1 if self.damaged else 0


def as_data(report: Report) -> dict[str, Any]:
    """Return a report as plain data."""
    return {"sound": not report.exit_code, **to_builtins(report)}


def in_words(report: Report) -> list[str]:
    """Return the lines that a user reads, grouped by product."""
    lines = [f"  recovered   what run {run} left, which had died" for run in report.recovered]
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(finding.product or _place(finding.kind), []).append(finding)
    for group in sorted(groups, key=lambda name: (name.startswith("the "), name)):
        lines.append(f"  {clean(group)}")
        for finding in groups[group]:
            lines += _lines(finding)
    return [*lines, _summary(report)]


def _place(kind: FindingKind) -> str:
    """Return where a finding about no product is."""
    of_catalog = {FindingKind.CATALOG, FindingKind.CONTRADICTION}
    return "the catalog" if kind in of_catalog else "the store"


def _summary(report: Report) -> str:
    checked = f"{_count(report.files, 'file')} of {_count(report.versions, 'version')}"
    size, damaged = _size(report.bytes), len(report.damaged)
    if not damaged:
        return f"  sound       {checked}, {size}: every byte is as it was written"
    repaired = sum(bool(finding.repaired) for finding in report.findings)
    mended = f", {repaired} repaired" if repaired else ""
    return f"  {damaged} damaged{mended}: {checked} looked at, {size}"


def _lines(finding: Finding) -> Iterator[str]:
    head = "   ".join(text for text in (clean(finding.file), _concerned(finding)) if text)
    yield f"    {finding.kind:<13} {head or finding.message}"
    if head:
        yield f"    {'':<13} {finding.message}"
    repaired = f"repaired: {clean(finding.repaired)}" if finding.repaired else finding.advice
    yield f"    {'':<13} {repaired}"


def _concerned(finding: Finding) -> str:
    """Return the first versions in a file, and who reads them; '' for a finding without both."""
    if not finding.file or not finding.versions:
        return ""
    versions = ", ".join(map(short, finding.versions[:3]))
    if len(finding.versions) > 3:
        versions += " …"
    if finding.readers:
        return f"{versions}, readers of {', '.join(finding.readers)} see it"
    return f"{versions}, only history"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    if count < 1000:
        return f"{count:,.0f} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} GB"

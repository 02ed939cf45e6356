"""What `verify` found, as data and in words."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from assay.facts import short
from assay.text import clean

HARMLESS = {"writable"}  # is told, and is no damage


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be: `found` is its kind, `do` what can be done, `repaired` what was done.

    `readers` are the environments whose readers see it now; none: it is only history.
    """

    found: str
    says: str
    do: str = ""
    file: str = ""
    product: str = ""
    versions: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    repaired: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """What was looked at (`bytes` were read), and what was found; `recovered` are runs that had died, `problems` what kept
    lost products from being built again.
    """

    findings: tuple[Finding, ...]
    files: int = 0
    versions: int = 0
    bytes: int = 0
    recovered: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def open(self) -> list[Finding]:
        """What is damaged still."""
        return [f for f in self.findings if not f.repaired and f.found not in HARMLESS]

    @property
    def exit_code(self) -> int:
        return 1 if self.open else 0


def as_data(report: Report) -> dict[str, Any]:
    """Return a report as plain data."""
    return {"sound": not report.exit_code, **asdict(report)}


def in_words(report: Report) -> list[str]:
    """Return the lines that a user reads, grouped by product."""
    said = [f"  recovered   what run {run} left, which had died" for run in report.recovered]
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        place = "the catalog" if finding.found in {"catalog", "contradiction"} else "the store"
        groups.setdefault(finding.product or place, []).append(finding)
    for group in sorted(groups, key=lambda name: (name.startswith("the "), name)):
        said += [
            f"  {clean(group)}",
            *(line for finding in groups[group] for line in _lines(finding)),
        ]
    count = f"{report.files:,} file{_s(report.files)} of {report.versions:,} version{_s(report.versions)}"
    if not report.open:
        return [
            *said,
            f"  sound       {count}, {_size(report.bytes)}: every byte is as it was written",
        ]
    repaired = sum(bool(finding.repaired) for finding in report.findings)
    mended = f", {repaired} repaired" if repaired else ""
    return [
        *said,
        f"  {len(report.open)} damaged{mended}: {count} looked at, {_size(report.bytes)}",
    ]


def _lines(finding: Finding) -> Iterator[str]:
    versions = ", ".join(map(short, finding.versions[:3])) + (
        " …" if len(finding.versions) > 3 else ""
    )
    seen = f"readers of {', '.join(finding.readers)} see it" if finding.readers else "only history"
    whose = f"{versions}, {seen}" if finding.file and versions else ""
    head = "   ".join(text for text in (clean(finding.file), whose) if text)
    yield f"    {finding.found:<13} {head or finding.says}"
    if head:
        yield f"    {'':<13} {finding.says}"
    yield f"    {'':<13} {f'repaired: {clean(finding.repaired)}' if finding.repaired else finding.do}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:,.1f} GB"

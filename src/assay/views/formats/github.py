"""Findings as annotations of GitHub Actions: commands that the runner reads from the output."""

import re
from collections.abc import Iterator, Sequence

from assay.text import clean
from assay.views.check import CheckView, FindingView, Level
from assay.views.formats.cases import cut, lines_of, placed
from assay.views.words.check import compiler_line, subject_of, total_line
from assay.views.words.numbers import count_of

# GitHub shows as many annotations of a step, of each kind; what is over that it drops without a word.
_MOST = 10
_MESSAGE = 60_000  # bytes; GitHub allows 64 KB
_TITLE = 250  # characters; GitHub allows 255
_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def github_lines(view: CheckView, folder: str = "") -> Iterator[str]:
    """Yield the annotations, then as plain lines what was not annotated, and the totals.

    `folder` is where the project is in its repository. Of more than ten findings of a level, the
    first nine are annotated, and the tenth annotation says how many more there are. Notes of what
    cannot be checked are not annotated: they would be the same in every pull request.
    """
    rest = [finding for finding in view.findings if finding.is_unchecked]
    for level in Level:
        findings = [f for f in view.findings if f.level is level and not f.is_unchecked]
        shown = findings if len(findings) <= _MOST else findings[: _MOST - 1]
        more = findings[len(shown) :]
        yield from (_annotation(finding, folder) for finding in shown)
        if more:
            yield _summed_up(level, more)
        rest += more
    for finding in rest:
        yield plain(f"{finding.level}: {compiler_line(finding)}")
        yield from (plain(f"  {detail.label}: {detail.text}") for detail in finding.details)
    yield plain(total_line(view))


def plain(line: str) -> str:
    """Return a line that the runner does not take for a command."""
    line = re.sub(r"^(\s*):(?=:)", r"\1: ", clean(line))
    return line.replace("##[", "## [")


def command(level: Level, properties: dict[str, str], message: str) -> str:
    """Return an annotation as the runner reads it; empty properties are left out."""
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{_COMMANDS[level]}{' ' if listed else ''}{listed}::{_data(message)}"


def _annotation(finding: FindingView, folder: str) -> str:
    """Return the annotation of a finding; that of a removal is at the place in the old file.

    The message begins with the place and the subject: the log shows nothing but the message.
    """
    title = f"{finding.kind}: {subject_of(finding)}"
    if finding.removed:
        title += " (it was here before this change)"
    first = [placed(finding.place, folder), subject_of(finding), finding.what]
    texts = [": ".join(text for text in first if text)]
    texts += [f"{detail.label}: {detail.text}" for detail in finding.details]
    message = "\n".join(line for text in texts for line in lines_of(text))
    properties = {"file": clean(placed(finding.file, folder))}
    if finding.file and finding.line:
        properties["line"] = str(finding.line)
        properties["col"] = str(finding.column or "")
    properties["title"] = cut(clean(title), _TITLE)
    return command(finding.level, properties, _shortened(message or str(finding.kind)))


def _summed_up(level: Level, findings: Sequence[FindingView]) -> str:
    names = list(dict.fromkeys(clean(subject_of(finding)) for finding in findings))
    listed = "\n".join([*names[:20], *(["…"] if len(names) > 20 else [])])
    title = f"{count_of(len(findings), f'more {level}')}"
    return command(level, {"title": title}, f"They are in the log of this step:\n{listed}")


def _shortened(message: str) -> str:
    data = message.encode()
    if len(data) <= _MESSAGE:
        return message
    return data[:_MESSAGE].decode(errors="ignore") + " …"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

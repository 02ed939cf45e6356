"""Summaries in Markdown, for a comment on a pull request or a job's page: bounded, worst first."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from assay.text import clean
from assay.views.formats.cases import Case, CaseState, Report, cut, lines_of
from assay.views.words.numbers import count_of

MOST = 60_000  # bytes of a summary; GitHub refuses comments of more than 65,536 characters
_TABLE = 35_000  # of which the rows of the table have at most so many
CELL, _LINE, _LINES = 400, 1000, 40  # characters of a cell and a line; lines below it

# These are compiled when they are used: few runs write a summary.
# What is not a letter, a digit or harmless in Markdown, and what could begin a list or code.
_SPECIAL = r"[^\w ,;:'\"?%/.()!\x80-\U0010ffff-]|_|(?<!\w)-|^\d{1,9}[.)]|^ +"
# Where GitHub and GitLab make links, mentions and pictures of text, also where it is escaped.
_LINKED = r"(?i)(?<=@)|(?<=[#!~$%&])(?=\w)|(?<=:)(?=//|[a-z+-][\w+-]*:)|(?<=www)(?=\.)"
_ZERO_WIDTH = "\u200b"
_STATES = (CaseState.FAILED, CaseState.ERROR, CaseState.SKIPPED)


class Block(Struct, frozen=True):
    """A row of the table, and what is folded below the table about it ('' for nothing)."""

    row: str
    folded: str = ""


def report_summary(report: Report) -> str:
    """Return the cases of a report that did not pass, failed ones first; others are counted."""
    cases = [case for state in _STATES for case in report.cases if case.state is state]
    passed = len(report.cases) - len(cases)
    head = [f"### {escaped(report.title)}", "", escaped(report.headline)]
    if report.cases:
        head += ["", f"{count_of(passed, 'check')} passed, {len(cases):,} did not."]
    blocks = [_of_case(case) for case in cases]
    return document(head, ("state", "product", "check", "message"), blocks)


def escaped(text: str) -> str:
    """Return text from outside, on one line, as Markdown that shows just this text."""
    return re.sub(_SPECIAL, _entities, re.sub(_LINKED, _ZERO_WIDTH, clean(text)))


def _entities(match: re.Match[str]) -> str:
    """Return characters as entities; spaces become those that are shown and begin no code."""
    return "".join(
        "&#160;" if character == " " else f"&#{ord(character)};" for character in match[0]
    )


def code(text: str) -> str:
    """Return a name or place from outside in the font of code; '' for ''."""
    return f"<code>{escaped(text)}</code>" if text else ""


def _of_case(case: Case) -> Block:
    subject = cut(f"{case.group}: {case.name}", CELL)
    state = str(case.state) if case.state is CaseState.SKIPPED else f"**{case.state}**"
    cells = [state, code(cut(case.group, CELL)), escaped(cut(case.name, CELL))]
    return block(cells, subject, case.message, lines_of(case.text))


def block(cells: Sequence[str], subject: str, message: str, details: Sequence[str]) -> Block:
    """Return a row that ends with a message; what does not fit there, and details, are folded."""
    short = cut(" ".join(lines_of(message)), CELL)
    row = f"| {' | '.join([*cells, escaped(short)])} |"
    lines = [*lines_of(message), *details] if details or len(message) > CELL else []
    return Block(row, _fold(subject, lines) if lines else "")


def _fold(title: str, lines: Sequence[str]) -> str:
    lines = [line for line in lines if line.strip()]  # an empty one would end the paragraph
    shown = [escaped(cut(line, _LINE)) for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"and {len(lines) - _LINES:,} more lines")
    text = "<br>\n".join(shown)
    return f"<details><summary>{code(title)}</summary>\n\n{text}\n\n</details>\n"


def document(head: Sequence[str], columns: Sequence[str], blocks: Sequence[Block]) -> str:
    """Return the head, a table, and what is folded: as much as there is room for, from the top."""
    text = "\n".join(head) + "\n"
    rows = _fitting((block.row for block in blocks), _TABLE)
    if rows:
        lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *rows]
        text += "\n" + "\n".join(lines) + "\n"
    if left := len(blocks) - len(rows):
        text += f"\nand {left:,} more, which the log has.\n"
    room = MOST - len(text.encode())
    folded = _fitting((block.folded for block in blocks[: len(rows)] if block.folded), room)
    return "\n".join([text, *folded]) if folded else text


def _fitting(texts: Iterable[str], room: int) -> list[str]:
    """Return the first texts, as many as there is room for in these bytes."""
    fitting: list[str] = []
    for text in texts:
        room -= len(text.encode()) + 1
        if room < 0:
            break
        fitting.append(text)
    return fitting

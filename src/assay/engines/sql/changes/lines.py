"""The difference of two texts, line by line: what is left to say of a query that cannot be read."""

import difflib
from collections.abc import Iterator

from assay.engines.sql.changes.words import arrow

_MOST = 2000  # lines of a text that are compared: the effort grows with their square


def line_changes(before: str, after: str) -> Iterator[str]:
    """Yield "line 3 removed: …", "line 3 added: …" and "line 3: … -> …".

    Numbers of removed lines are those in `before`, of others those in `after`.
    """
    old, new = before.splitlines()[:_MOST], after.splitlines()[:_MOST]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, first, past, begin, end in matcher.get_opcodes():
        if kind == "equal":
            continue
        if past - first == end - begin:
            for number, (a, b) in enumerate(zip(old[first:past], new[begin:end], strict=True)):
                yield f"line {begin + number + 1}: {arrow(a.strip(), b.strip())}"
            continue
        for number in range(first, past):
            yield f"line {number + 1} removed: {old[number].strip()}"
        for number in range(begin, end):
            yield f"line {number + 1} added: {new[number].strip()}"

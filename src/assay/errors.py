"""Everything that Assay raises on purpose.

AssayError                     what is wrong, where, what to do; the exit code it stands for ├──
UsageError             2   a name, a selector, an option or a configuration that cannot be served │
└── DeclarationError   2   every mistake found in the declarations, together ├── QueryRefused
2   SQL that is not one read-only query over published products ├── QueryStopped           1   a
query took longer, or more memory, than it may ├── BuildError             1   a product could not be
built; nothing of it was recorded │   ├── ResultRefused      1   a product's result lacks a column
that is named, or cannot be split │   ├── TypeRefused        1   a column's type would not survive
being stored │   ├── SourceReplaced     1   a file of a source was replaced while it was being read
│   ├── SourceFault        1   a file of a source is not what the source declares │   ├── TimedOut
1   making a product took longer than its timeout │   └── Crashed            1   the process that
made a product is gone ├── CatalogError           1   the catalog cannot be opened, is of another
version, or is that of another store │   └── CatalogDamaged     1   what is in the catalog is not
what was written, or was not written by us ├── StoreError             1   a stored file is missing
or is not what the catalog says └── Conflict               1   another run moved a pointer first
(the loser observes and decides again)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.sensitive import masked
from assay.text import clean

if TYPE_CHECKING:
    from assay.model import Where

# Parts of messages about a resource that the machine lacks, and what to do.
_LACKS = (
    (
        ("Too many open files in system",),
        "All programs of this machine together have too many files open.",
    ),
    (("Too many open files",), "Raise the limit on open files (`ulimit -n 4096`)."),
    (
        ("No space left on device", "disk is full", "Disk quota exceeded"),
        "Make room on that disk, in bytes and files (`df -h`, `df -i`); `products gc` drops what need not be kept.",
    ),
    (
        (
            "Out of Memory",
            "annot allocate memory",
            "can't start new thread",
            "failed to map segment",
            "MemoryError",
        ),
        "Give it more memory (`memory` in pyproject.toml, `ulimit -v`), or do less at a time (`jobs`).",
    ),
)

# Of a foreign message: lines and letters shown, and letters searched for passwords.
_MOST_FAULTS = 20  # of files that a message has
_LINES, _LETTERS, _LOOKED_AT = 12, 2000, 20_000


class AssayError(Exception):
    """An expected failure, worded for the person who reads it."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "", where: "Where | None" = None) -> None:
        super().__init__(what)
        self.what, self.hint, self.where = what, hint, where

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback: one line with what to do."""
        lines = [line.strip() for line in str(self).splitlines() if line.strip()]
        ends = [line if line[-1] in ".:;,?!" else f"{line}." for line in lines[:-1]]
        text = " ".join([*ends, *lines[-1:]])
        return [f"{type(self).__name__}: {clean(text)}"]


class UsageError(AssayError):
    """A name, selector, option or configuration that cannot be served."""

    exit_code = 2


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake in a declaration: what is wrong, where, and what to do."""

    what: str
    where: "Where"
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}"]
        lines += [f"    {line}" for line in self.hint.splitlines()]
        return "\n".join(lines)


class DeclarationError(UsageError):
    """All mistakes found in the declarations, or in the test files, in file order."""

    def __init__(self, problems: Sequence[Problem], *, of: str = "declarations") -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.where.file, p.where.line)))
        count = len(self.problems)
        super().__init__(f"{count} mistake{'s' if count > 1 else ''} in the {of}")

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.what}:", *(f"  {line}" for p in self.problems for line in str(p).splitlines())]
        )


class QueryRefused(AssayError):
    """SQL that is not one read-only query over published products."""

    exit_code = 2


class QueryStopped(AssayError):
    """A query took longer, or more memory, than it may."""


class BuildError(AssayError):
    """A product could not be built or judged; nothing of the attempt was recorded."""


class ResultRefused(BuildError):
    """The result of a product lacks a column that its declaration names, or cannot be split."""


class TypeRefused(BuildError):
    """A column's type would change silently when stored."""


class SourceReplaced(BuildError):
    """What was read of a file is not what was observed of it."""


class SourceFault(BuildError):
    """A file of a source is not what the source declares; names the file, line and column.

    `quoted` is the wrong value, which may be sensitive, and `column` the column that has it.
    `others` are the faults of other files that were found with it.
    """

    def __init__(
        self, source: str, what: str, *, quoted: str = "", column: str = "", hint: str = ""
    ) -> None:
        super().__init__(f"{source}: {what}", hint=hint)
        self.source, self.quoted, self.column = source, quoted, column
        self.others: tuple[SourceFault, ...] = ()

    def texts(self, *, shown: Callable[[str], bool]) -> str:
        """Return the messages of this fault and of a few of the others; hints are given once.

        `shown` returns whether the values of a column may be.
        """
        told, hints, every = [], set[str](), (self, *self.others)
        for fault in every[:_MOST_FAULTS]:
            told.append(fault.text(shown=shown(fault.column), hinted=fault.hint not in hints))
            hints.add(fault.hint)
        if len(every) > _MOST_FAULTS:
            told.append(f"and {len(every) - _MOST_FAULTS:,} more files with faults")
        return "\n".join(told)

    def text(self, *, shown: bool, hinted: bool = True) -> str:
        """Return the message, with the value or without."""
        value = (
            f"; it is {self.quoted}" if shown else "; the value is not shown, since it is sensitive"
        )
        return f"{self.what}{value if self.quoted else ''}" + (
            f"\n  {self.hint}" if self.hint and hinted else ""
        )

    def __str__(self) -> str:
        return self.text(shown=False)


class TimedOut(BuildError):
    """Making a product, or a part of it, took longer than it may."""


class Crashed(BuildError):
    """The process that made a product ended before that was done."""


class CatalogError(AssayError):
    """The catalog cannot be opened, has another schema version, or is that of another store."""


class CatalogDamaged(CatalogError):
    """What is in the catalog is not what was written, or was not written by us."""


class StoreError(AssayError):
    """A stored file is missing, or is not what the catalog says it is."""


class Conflict(AssayError):
    """A pointer no longer holds what this run decided on; observe and decide again."""


def words_of(error: BaseException) -> str:
    """Return the message of any exception, shortened, without the passwords of addresses."""
    try:
        text = str(error)
    except Exception as worse:
        return f"its message cannot be told ({type(worse).__name__})"
    text = masked(text[:_LOOKED_AT]) + text[_LOOKED_AT:]
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[:_LINES]
        text = "\n".join([text, *(f"{type(e).__name__}: {words_of(e)}" for e in inner)])
    lines = text.strip().splitlines()
    beginning = "\n".join(lines[:_LINES])
    if len(lines) <= _LINES and len(beginning) <= _LETTERS:
        return beginning
    return f"{beginning[:_LETTERS]} … ({len(text):,} letters in all)"


def remedy(error: BaseException) -> str:
    """Return what to do about a lack of files, disk, memory or threads; '' for other errors."""
    text = f"{type(error).__name__}: {words_of(error)}"
    return next((hint for words, hint in _LACKS if any(word in text for word in words)), "")


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether an error is of the catalog or for lack of resources: other builds fail too."""
    return isinstance(error, CatalogError | MemoryError) or bool(remedy(error))

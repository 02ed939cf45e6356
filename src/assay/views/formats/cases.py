"""What was checked, case by case, as reports of tests have it; the input of JUnit XML and summaries."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from posixpath import normpath

from msgspec import Struct, field
from msgspec.structs import replace

from assay.errors import DeclarationError
from assay.text import clean


class CaseState(StrEnum):
    """How a case came out.

    - `failed`: what was promised is not so: a rule, a contract or a deadline is broken.
    - `error`: it could not be checked, or the code of the project failed.
    - `skipped`: it was not checked, and that is no mistake.
    """

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class Case(Struct, frozen=True, kw_only=True):
    """One thing that was checked.

    - `group`: the product (or source) that it is about.
    - `name`: what was checked of it, the same in every run: CI systems compare by group and name.
    - `message`: how it came out, on one line; '' for nothing to say.
    - `text`: more about it, on any number of lines.
    - `seconds`: how long it took; None when not known.
    - `file`, `line`: where it is declared, relative to the repository; line 0 when not known.
    """

    group: str
    name: str
    state: CaseState = CaseState.PASSED
    message: str = ""
    text: str = ""
    seconds: float | None = None
    file: str = ""
    line: int = 0


class Report(Struct, frozen=True, kw_only=True):
    """All cases of one command.

    - `title`: the command, such as "products check".
    - `headline`: how it came out, in a few words.
    - `properties`: what else is known of each group, by group and name.
    """

    title: str
    headline: str
    cases: tuple[Case, ...]
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def groups(self) -> dict[str, list[Case]]:
        """Return the cases by group; names that occur again in a group are numbered."""
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            groups.setdefault(case.group, []).append(case)
        return {group: list(_numbered(cases)) for group, cases in groups.items()}


def mistakes_report(title: str, error: DeclarationError, folder: str = "") -> Report:
    """Return the report of a command that could do nothing, for mistakes in the declarations."""
    cases = [
        Case(
            group=problem.where.file,
            name="declaration",
            state=CaseState.ERROR,
            message=problem.what,
            text=str(problem),
            file=placed(problem.where.file, folder),
            line=problem.where.line,
        )
        for problem in error.problems
    ]
    return Report(title=title, headline=error.what, cases=tuple(cases))


def count(cases: Iterable[Case], state: CaseState) -> int:
    """Return how many cases came out so."""
    return sum(case.state is state for case in cases)


def placed(file: str, folder: str) -> str:
    """Return the path of a file of the project, which is in this folder of its repository."""
    return normpath(f"{folder}/{file}") if file and folder else file


def lines_of(text: str) -> list[str]:
    """Return the lines of a text from outside, with control characters made visible."""
    return clean(text, keep_lines=True).split("\n") if text else []


def cut(text: str, most: int) -> str:
    """Return at most so many characters of a text, with a mark if there were more."""
    return text if len(text) <= most else f"{text[: most - 2]} …"


def _numbered(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield cases with names that differ: readers of JUnit XML drop a name that occurs again."""
    used: set[str] = set()
    for case in cases:
        name, number = case.name, 1
        while name in used:
            number += 1
            name = f"{case.name} ({number})"
        used.add(name)
        yield case if name == case.name else replace(case, name=name)

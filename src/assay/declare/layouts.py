"""Declared layouts of a source to layouts: how some of its files differ, by path or by day."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from assay.declare.names import Names
from assay.declare.namings import NO_DAY_HINT, dated_by, day_of, wrong_period
from assay.declare.text_options import problems, read_dialect
from assay.declare.words import DialectDeclaration, LayoutDeclaration, SourceDeclaration
from assay.model import Column, Layout, Where
from assay.plan.names import nearest
from assay.plan.parts import Template, regex_of


class LayoutReader:
    """Reads the layouts of a source; problems are reported."""

    def __init__(
        self,
        source: SourceDeclaration,
        format: str,
        columns: tuple[Column, ...],
        formats: Mapping[str, str],
        path: Template,
    ) -> None:
        self.source, self.format, self.path = source, format, path
        self.columns, self.formats = columns, formats

    def read(self, name: str, where: Where, names: Names) -> tuple[Layout, ...]:
        """Return the layouts of a source with this name."""
        layouts = []
        for number, declared in enumerate(self.source.layouts, 1):
            wrong = [*self._wrong(declared)]
            for message, hint in wrong:
                names.report(f"{name}: layout {number}: {message}", where, hint)
            if not wrong:
                layouts.append(self._layout(declared))
        return tuple(layouts)

    def _wrong(self, declared: LayoutDeclaration) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a layout, and a hint."""
        if not (declared.pattern or declared.since or declared.until):
            yield "it is of all files", "Give a pattern, since= or until=, or change the source."
        yield from self._wrong_days(declared)
        own = {column.name for column in self.columns}
        for column in (*declared.missing, *declared.renamed):
            if column not in own:
                yield f"there is no column {column!r}", nearest(column, own)
        for column in declared.renamed.keys() & set(declared.missing):
            yield f"column {column!r} is both missing and renamed", "Leave one out."
        called = [declared.renamed.get(c.name, c.name).lower() for c in self._columns(declared)]
        for twice in sorted({each for each in called if called.count(each) > 1}):
            yield f"two columns are called {twice!r}", "Correct renamed=."
        if declared.given:
            columns = self._columns(declared)
            yield from problems(
                self._dialect(declared),
                self.pattern_of(declared),
                self.format,
                columns,
                self.formats,
            )

    def _wrong_days(self, declared: LayoutDeclaration) -> Iterator[tuple[str, str]]:
        dated = dated_by(self.path)
        days = {word: getattr(declared, word) for word in ("since", "until")}
        if any(days.values()) and dated is None:
            yield (
                "since= and until= are by the day of a file, and the pattern has no day",
                NO_DAY_HINT,
            )
            return
        for word, given in days.items():
            if given and day_of(given) is None:
                yield f"{word}={given!r} is no day", "Write it as '2021-01-15'."
                return
        since, until = day_of(declared.since), day_of(declared.until)
        if since and until and since > until:
            yield f"it is since {since} and until {until}, which is before", ""
        elif dated and (wrong := wrong_period(since, until, dated.grain))[0]:
            yield wrong

    def pattern_of(self, declared: LayoutDeclaration) -> str:
        """Return the pattern that says how files of a layout are packed."""
        return declared.pattern if declared.pattern.endswith(".zip") else self.source.pattern

    def _columns(self, declared: LayoutDeclaration) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.name not in declared.missing)

    def _dialect(self, declared: LayoutDeclaration) -> DialectDeclaration:
        """Return how the text of a layout is written: as the source says, but for what is given."""
        assert self.source.dialect is not None
        given = {option: getattr(declared.dialect, option) for option in declared.given}
        return replace(self.source.dialect, **given)

    def _layout(self, declared: LayoutDeclaration) -> Layout:
        since, until = day_of(declared.since), day_of(declared.until)
        return Layout(
            path_regex=regex_of(declared.pattern.removeprefix("./")) if declared.pattern else "",
            since=since.isoformat() if since else "",
            until=until.isoformat() if until else "",
            dialect=read_dialect(self._dialect(declared), self._columns(declared), self.formats),
            missing=tuple(declared.missing),
            renamed=tuple(declared.renamed.items()),
        )

"""Shows what happens: plain lines when piped, progress and colour on a terminal, or JSON lines."""

import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any, TextIO

from msgspec import Struct
from msgspec.structs import asdict

from assay.decisions import Keep
from assay.events import (
    Event,
    Progress,
    Result,
    Retrying,
    RunStarted,
    Settled,
    Stopping,
    Waiting,
    Working,
    held_parts,
)
from assay.text import clean
from assay.views.words import Story, lines

# What JSON may hold as it is and a terminal should not see: control and direction characters, lone surrogates.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOURS = {
    "published": "green",
    "held back": "red",
    "held": "yellow",
    "failed": "red",
    "left": "yellow",
    "unchanged": "dim",
    "unfinished": "yellow",
    "busy": "yellow",
    "retrying": "yellow",
}


class PlainReporter:
    """Prints what came out, as it comes out."""

    def __init__(self, story: Story, width: int, out: TextIO) -> None:
        self.story, self.width, self.out = story, width, out
        self.unchanged = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stopping) and event.products:
            self.show("left", [f"  {'stopping':<10} waits for {', '.join(event.products)}"])
        if isinstance(event, Waiting):
            for holder in dict.fromkeys(event.holders.values()):
                names = [name for name, other in event.holders.items() if other == holder]
                self.show("busy", [clean(f"  {'waiting':<10} for {', '.join(names)}: {holder}")])
        if isinstance(event, Retrying):
            self.show("retrying", lines(self.story.retrying(event), self.width))
        if isinstance(event, Settled):
            for result in event.results:
                if _is_as_it_was(result):
                    self.unchanged += 1
                else:
                    told = self.story.of(result)
                    self.show(told["result"], lines(told, self.width))

    def show(self, word: str, said: Sequence[str]) -> None:
        """Print the lines of one result."""
        for line in said:
            self.out.write(f"{clean(line).rstrip()}\n")
        self.out.flush()

    def close(self) -> None:
        """Say what was left alone."""
        if self.unchanged:
            self.show(
                "unchanged",
                [
                    f"  {'unchanged':<10} {self.unchanged} product{'s' if self.unchanged > 1 else ''}"
                ],
            )


def _is_as_it_was(result: Result) -> bool:
    """Say whether nothing is to be told of a product: asked before it is put into words, there may be very many."""
    end = result.end
    told = result.judged or result.undeclared or result.unmade
    return isinstance(end, Keep) and not (told or end.pinned or held_parts(end))


class RichReporter(PlainReporter):
    """The same on a terminal: in colour, above a line that says what is being worked on."""

    def __init__(self, story: Story, width: int, out: TextIO) -> None:
        super().__init__(story, width, out)
        from rich.console import Console

        self.console = Console(file=out, highlight=False)
        self.status = self.console.status("looking around")
        self.status.start()
        self.at_work: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(products=products):
                self.status.update(
                    f"{products} product{'s' if products != 1 else ''} to look after"
                )
            case Working(product=product, what=what):
                self.at_work[product] = what
            case Progress(product=product, done=done, of=of, seconds=seconds):
                left = f", about {seconds / done * (of - done):.0f} s left" if done < of else ""
                self.at_work[product] = f"building {done:,} of {of:,} parts{left} of"
            case Retrying(product=product):
                self.at_work.pop(product, None)
            case Settled(results=results):
                for result in results:
                    self.at_work.pop(result.product, None)
        if self.at_work:
            self.status.update(
                ", ".join(f"{what} {name}" for name, what in list(self.at_work.items())[-3:])
            )
        super().__call__(event)

    def show(self, word: str, said: Sequence[str]) -> None:
        from rich.text import Text

        first, *rest = map(clean, said)
        self.console.print(
            Text(first) if word not in _COLOURS else _coloured(first, word), soft_wrap=True
        )
        for line in rest:
            self.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        self.status.stop()
        super().close()


class JsonReporter:
    """Writes each result as a line of JSON."""

    def __init__(self, story: Story, out: TextIO) -> None:
        self.story, self.out = story, out

    def __call__(self, event: Event) -> None:
        if isinstance(event, Retrying):
            self.out.write(to_json(self.story.retrying(event)) + "\n")
            self.out.flush()
        if isinstance(event, Settled):
            release = event.release.id if event.release else None
            for result in event.results:
                self.out.write(to_json({**self.story.of(result), "release": release}) + "\n")
            self.out.flush()

    def close(self) -> None:
        """Nothing is left to say."""


def _coloured(line: str, word: str) -> Any:
    from rich.text import Text

    text = Text(line)
    text.stylize(_COLOURS[word], 2, 2 + len(word))
    return text


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO | None = None) -> None:
    """Print a table: drawn on a terminal, aligned plain lines when piped."""
    out = out or sys.stdout
    headers = [clean(header) for header in headers]
    cells = [[_cell(value) for value in row] for row in rows]
    if out.isatty():
        _rich_table(headers, cells, out)
        return
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        out.write(f"{line.rstrip()}\n")


def _rich_table(headers: Sequence[str], cells: Iterable[Sequence[str]], out: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_edge=False)
    for index, header in enumerate(headers):
        drawn.add_column(Text(header), overflow="fold", no_wrap=index == 0)
    for row in cells:
        drawn.add_row(*(Text(value) for value in row))
    Console(file=out, highlight=False).print(drawn)


def _cell(value: Any) -> str:
    return "" if value is None else clean(str(value))


def rounded(value: Any) -> Any:
    """Return a number as people read it: four digits of a fraction's worth."""
    return f"{value:,.4g}" if isinstance(value, float) else value


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """Write rows as CSV, with a header: every value as it is, but on a terminal, which would obey some of them."""
    # A cell with a carriage return is only put into quotes where lines end with one.
    lines = SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    for row in chain([names], rows):
        writer.writerow([_cell(value) for value in row] if out.isatty() else row)


def write_json(rows: Iterable[Any], out: TextIO) -> None:
    """Write a list as JSON, as its items come: each on a line, as only that is quick and leaves no garbage."""
    before = "["
    for row in rows:
        out.write(f"{before}\n  {to_json(row)}")
        before = ","
    out.write("[]\n" if before == "[" else "\n]\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON; what JSON has no type for (dates, decimals) as text."""
    told = json.dumps(
        _plain(value), ensure_ascii=False, default=str, indent=indent, allow_nan=False
    )
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", told)


def _plain(value: Any) -> Any:
    """Return a value with what JSON has no number or key for as text."""
    match value:
        case Struct():
            return _plain(asdict(value))
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value

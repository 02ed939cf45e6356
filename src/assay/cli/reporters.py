"""Reports the events of a run: plain lines, coloured lines with progress, or JSON lines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, TextIO

from assay.cli.printing import columns_of, wrapped
from assay.cli.progress import Progressing
from assay.decisions import Keep
from assay.events import (
    CannotBeKept,
    Event,
    Holder,
    Result,
    Retrying,
    Settled,
    Stopping,
    Waiting,
    WaitsForMemory,
    held_parts,
)
from assay.text import clean
from assay.views.json_text import to_json
from assay.views.products import ProductViews
from assay.views.results import ResultKind
from assay.views.view import View
from assay.views.words.numbers import count_of
from assay.views.words.results import late_lines, lines, retrying_lines, waiting_lines

_SPINNER = 2  # columns before the progress of a run
_COLOURS = {
    ResultKind.PUBLISHED: "green",
    ResultKind.HELD_BACK: "red",
    ResultKind.AWAITING: "yellow",
    ResultKind.HELD: "yellow",
    ResultKind.FAILED: "red",
    ResultKind.LEFT: "yellow",
    ResultKind.UNCHANGED: "dim",
    ResultKind.UNFINISHED: "yellow",
    ResultKind.BUSY: "yellow",
    ResultKind.RETRYING: "yellow",
    ResultKind.LATE: "red",
    ResultKind.WAITING: "dim",
}


class PlainReporter:
    """Prints a line for each result, and counts unchanged products."""

    def __init__(self, views: ProductViews, width: int, out: TextIO) -> None:
        self.views, self.width, self.out = views, width, out
        self.unchanged = 0
        self.counts: Counter[ResultKind] = Counter()
        self.began, self.worked = monotonic(), False

    def __call__(self, event: Event) -> None:
        match event:
            case Stopping(products=products) if products:
                line = f"  {'stopping':<10} waits for {', '.join(products)}"
                self.show(ResultKind.LEFT, [line])
            case Waiting(holders=holders):
                for holder in dict.fromkeys(holders.values()):
                    self.show(ResultKind.BUSY, [_waiting_line(event, holder)])
            case Retrying():
                view = self.views.retrying(event)
                self.show(view.result, retrying_lines(view, self.width))
            case CannotBeKept():
                late = self.views.late(event)
                self.show(late.result, late_lines(late, self.width, self.views.now))
            case WaitsForMemory():
                waiting = self.views.waiting(event)
                self.show(waiting.result, waiting_lines(waiting, self.width))
            case Settled(results=results):
                for result in results:
                    self.settled(result)

    def settled(self, result: Result) -> None:
        """Print one result, or count it if nothing changed."""
        if is_unchanged(result):
            self.unchanged += 1
            self.counts[ResultKind.UNCHANGED] += 1
        else:
            view = self.views.result(result)
            self.counts[view.result] += 1
            self.worked |= result.built or result.judged
            self.show(view.result, lines(view, self.width))

    def show(self, kind: ResultKind, lines: Sequence[str]) -> None:
        """Print the lines of one result."""
        for line in lines:
            self.out.write(f"{clean(line).rstrip()}\n")
        self.out.flush()

    def close(self) -> None:
        """Print how many products are unchanged, and how all came out if there is more to add up."""
        if self.unchanged:
            products = f"{self.unchanged} product{'s' if self.unchanged > 1 else ''}"
            self.show(ResultKind.UNCHANGED, [f"  {'unchanged':<10} {products}"])
        if self.counts.total() > max(1, self.unchanged):
            seconds = monotonic() - self.began if self.worked else None
            self.show(ResultKind.BUILD, [total_line(self.counts, seconds)])


def total_line(counts: Mapping[ResultKind, int], seconds: float | None) -> str:
    """Return the line that ends a run: how many products came out how, and how long it took.

    Without `seconds` for a run that built and checked nothing, so that it prints what the last did.
    """
    shown = [f"{counts[kind]:,} {kind}" for kind in ResultKind if counts.get(kind)]
    took = "" if seconds is None else f"   {seconds:.1f} s"
    products = count_of(sum(counts.values()), "product")
    return f"  {'total':<10} {products}: {', '.join(shown)}{took}"


def _waiting_line(event: Waiting, holder: Holder) -> str:
    names = [name for name, run in event.holders.items() if run == holder]
    return clean(f"  {'waiting':<10} for {', '.join(names)}: {holder}")


def is_unchanged(result: Result) -> bool:
    """Return whether there is nothing to report; no view is built, as results may be very many."""
    end = result.end
    is_news = result.judged or result.undeclared or result.unbuilt
    return isinstance(end, Keep) and not (is_news or end.pinned or end.waived or held_parts(end))


class RichReporter(PlainReporter):
    """Prints the same in colour, above a status line that shows the current work."""

    def __init__(self, views: ProductViews, width: int, out: TextIO) -> None:
        super().__init__(views, width, out)
        from rich.console import Console

        self.console = Console(file=out, highlight=False, width=columns_of(out))
        self.status = self.console.status("looking for changes")
        self.status.start()
        self.progress = Progressing()

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        self.progress.update(event)
        line = self.progress.text(self.console.width - _SPINNER)
        self.status.update(Text(clean(line)))
        super().__call__(event)

    def show(self, kind: ResultKind, lines: Sequence[str]) -> None:
        from rich.text import Text

        texts = [piece for line in lines for piece in wrapped(clean(line), self.console.width)]
        for number, text in enumerate(texts):
            is_head = number == 0 and kind in _COLOURS
            line = _coloured(text, kind) if is_head else Text(text)
            self.console.print(line, soft_wrap=True)

    def close(self) -> None:
        self.status.stop()
        super().close()


def _coloured(line: str, kind: ResultKind) -> Any:
    from rich.text import Text

    text = Text(line)
    text.stylize(_COLOURS[kind], 2, 2 + min(len(kind), 9))
    return text


class JsonReporter:
    """Writes each result as a line of JSON."""

    def __init__(self, views: ProductViews, out: TextIO) -> None:
        self.views, self.out = views, out

    def __call__(self, event: Event) -> None:
        match event:
            case Retrying():
                self.write(self.views.retrying(event))
            case CannotBeKept():
                self.write(self.views.late(event))
            case WaitsForMemory():
                self.write(self.views.waiting(event))
            case Settled(results=results, release=release):
                number = release.id if release else None
                for result in results:
                    self.out.write(f"{to_json(self.views.result(result, number))}\n")
                self.out.flush()

    def write(self, view: View) -> None:
        """Write a line."""
        self.out.write(f"{to_json(view)}\n")
        self.out.flush()

    def close(self) -> None:
        """Do nothing: every line was flushed."""

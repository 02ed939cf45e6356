"""Text about a product that was planned, built or held: one line, and the reasons below it."""

from collections.abc import Sequence
from datetime import datetime

from assay.facts import short
from assay.text import clean
from assay.views.results import (
    AwaitingView,
    BusyView,
    FailedView,
    HeldBackView,
    HeldView,
    LateView,
    LeftView,
    PlanView,
    PublishedView,
    ResultKind,
    ResultView,
    RetryingView,
    UnchangedView,
    UndeclaredColumnView,
    UnfinishedView,
    WaitingView,
)
from assay.views.words.numbers import day, memory
from assay.views.words.parts import affects_lines, changes_lines, failed_lines, held_lines, in_parts
from assay.views.words.rules import counted, rule_lines

_INDENT = " " * 13
_FEW = 3  # names that a warning lists
_MANY = 8  # columns that a warning lists


def lines(view: PlanView, width: int) -> list[str]:
    """Return the lines of a product; names are padded to `width` columns."""
    head = _head(view.result, view.product, width, view.version)
    told = _lines(view, head)
    if isinstance(view, ResultView) and view.undeclared:
        told += _undeclared(view.product, view.undeclared)
    if isinstance(view, ResultView) and view.undeclared_columns:
        told += _undeclared_columns(view.undeclared_columns)
    return told


def retrying_lines(view: RetryingView, width: int) -> list[str]:
    """Return the line for a build that is tried again."""
    when = f"in {view.in_seconds:.1f} s" if view.in_seconds else "now"
    error = clean(view.error.partition("\n")[0])
    head = _head(view.result, view.product, width)
    return [f"{head}{when}: {error}; {view.number} of {view.of}"]


def late_lines(view: LateView, width: int, now: datetime | None) -> list[str]:
    """Return the line for a promise that will not be kept; a moment of today has no date."""
    head = _head(view.result, view.product, width)
    likely = f"{view.likely:%H:%M}" if view.likely.date() == view.due.date() else day(view.likely)
    then = "what can still be kept goes first" if view.demoted else "it goes first"
    is_today = now is not None and now.astimezone(view.due.tzinfo).date() == view.due.date()
    due = f"{view.due:%H:%M}" if is_today else day(view.due)
    return [f"{head}cannot be there by {due} (likely {likely}): {then}"]


def waiting_lines(view: WaitingView, width: int) -> list[str]:
    """Return the line for a product that waits for memory."""
    head = _head(view.result, view.product, width)
    needs, free = memory(view.needs_bytes), memory(view.free_bytes)
    beside = clean(", ".join(view.beside[:_FEW])) + (" …" if len(view.beside) > _FEW else "")
    return [f"{head}for memory: needs {needs}, and {beside} leaves {free}"]


def _head(result: ResultKind, product: str, width: int, version: str = "") -> str:
    word = "awaiting" if result is ResultKind.AWAITING else result
    return f"  {word:<10} {product:<{width}}  {short(version):<7}  "


def _lines(view: PlanView, head: str) -> list[str]:
    match view.decision:
        case PublishedView() as published if view.result is ResultKind.PUBLISHED:
            rules = rule_lines(view.product, published.rules)
            approved = [f"{_INDENT}approved by {clean(text)}" for text in published.approved]
            changed = [] if view.held_parts else changes_lines(view, "changed")
            told = [*rules, *approved, *changed]
            return [head + _published(view, published), *told, *held_lines(view)]
        case UnchangedView(waived=waived):
            noted = [f"{_INDENT}{clean(text)}" for text in waived]
            return [f"{head}{_unchanged(view)}".rstrip(), *noted, *held_lines(view)]
        case HeldBackView() as blocked:
            return _held_back(view, blocked, head)
        case AwaitingView() as awaiting:
            return _awaiting(view, awaiting, head)
        case HeldView(waits_for=waits_for):
            why = clean("; ".join(waits_for.values()))
            return [f"{head}waits: {why}; {_readers(view)}"]
        case FailedView() as failed:
            return _failed(failed, head)
        case UnfinishedView(parts_there=count, of=of):
            text = f"{count} of {of} parts are there; it is judged and published when all are"
            return [f"{head}{text}"]
        case BusyView(because=because):
            return [f"{head}{clean(because)}; {_readers(view)}"]
        case LeftView():
            return [f"{head}not finished; the next run goes on from here"]
    texts = (in_parts(view), ", ".join(view.why))
    return [head + "   ".join(text for text in texts if text)]


def _published(view: PlanView, published: PublishedView) -> str:
    built = "not built again"
    if isinstance(view, ResultView) and view.built:
        built = f"{view.seconds:.1f} s"
    same = "came out the same" if published.same else ""
    texts = (published.size, same, built, in_parts(view), ", ".join(view.why))
    return "   ".join(text for text in texts if text)


def _unchanged(view: PlanView) -> str:
    if view.pinned:
        return f"pinned; `products restore {view.product} --unpin` lets it move again"
    if isinstance(view, ResultView) and view.judged:
        return "judged again under changed rules, or what they read, and passed"
    return ""


def _held_back(view: PlanView, blocked: HeldBackView, head: str) -> list[str]:
    failed = [rule for rule in blocked.rules if rule.holds_back]
    lines = [f"{head}{counted(failed, blocked.rule_count)}; {_readers(view)}"]
    if blocked.whole_because:
        lines.append(f"{_INDENT}held as a whole: {clean(blocked.whole_because)}")
    if blocked.whole_hint:
        lines.append(f"{_INDENT}  {clean(blocked.whole_hint)}")
    lines += rule_lines(view.product, blocked.rules)
    lines += failed_lines(view)
    return [*lines, *changes_lines(view, "would change"), *affects_lines(blocked.affects)]


def _awaiting(view: PlanView, awaiting: AwaitingView, head: str) -> list[str]:
    lines = [f"{head}{clean(awaiting.awaits)}; {_readers(view)}"]
    lines += [f"{_INDENT}approved by {clean(text)}" for text in awaiting.approved]
    lines += [f"{_INDENT}{clean(text)}" for text in awaiting.void]
    lines += rule_lines(view.product, awaiting.rules)
    if awaiting.approvers:
        lines.append(f"{_INDENT}{approve_command(view.product, awaiting)}")
    changed = changes_lines(view, "would change")
    return [*lines, *changed, *affects_lines(awaiting.affects)]


def approve_command(product: str, awaiting: AwaitingView) -> str:
    """Return the command that approves a version."""
    who = clean(awaiting.approvers[0])
    version = short(awaiting.version)
    return f"products approve {product} {version} --as {who} --because TEXT"


def _failed(failed: FailedView, head: str) -> list[str]:
    error, *rest = clean(failed.error, keep_lines=True).splitlines() or [""]
    detail = failed.detail.splitlines()[:5]
    lines = [
        f"{head}{error}",
        *(f"{_INDENT}{line}" for line in rest),
        *(clean(f"{_INDENT}{line}") for line in detail),
    ]
    if failed.tries > 1:
        lines.append(f"{_INDENT}tried {failed.tries} times")
    return lines


def _readers(view: PlanView) -> str:
    """Return which version stays published."""
    readers = view.readers
    if readers is None:
        return "readers have nothing yet"
    if readers.version == view.version:
        return "readers see it, and it would not pass any more"
    as_of = f" (as of {day(readers.data_as_of)})" if readers.data_as_of else ""
    return f"readers keep {short(readers.version)}{as_of}"


def _undeclared_columns(columns: Sequence[UndeclaredColumnView]) -> list[str]:
    """Return the warnings that columns appeared in files of sources that do not declare them."""
    told = []
    for source in dict.fromkeys(column.source for column in columns):
        own = [column for column in columns if column.source == source]
        told.append(f"warning: {source} has new columns that it does not declare: {listed(own)}")
        told.append(f"`products suggest {source}` writes their declarations")
    return [f"{_INDENT}{clean(line)}" for line in told]


def listed(columns: Sequence[UndeclaredColumnView]) -> str:
    """Return columns, each with the first part that has it."""
    names = [f"{column.column} (since {column.part})" for column in columns[:_MANY]]
    more = f" and {len(columns) - _MANY} more" if len(columns) > _MANY else ""
    return ", ".join(names) + more


def _undeclared(product: str, names: tuple[str, ...]) -> list[str]:
    """Return the warning that code read files or variables that are not declared as inputs."""
    consequence = "which are no inputs: a change of them goes"
    files, all_of_them = "files", "all of them"
    if len(names) == 1:
        consequence = "which is no input: a change of it goes"
        files = all_of_them = "it"
    hint = f"list {all_of_them} in reads"
    if not names[0].startswith("$"):
        hint = f'declare {files} with source.file("{names[0]}"), or {hint}'
    read = ", ".join(names[:_FEW])
    if len(names) > _FEW:
        read += f" and {len(names) - _FEW} more"
    warning = f"warning: {product} reads {read}, {consequence} unnoticed"
    return [f"{_INDENT}{clean(line)}" for line in (warning, f"{hint} (pyproject.toml)")]

"""Text about the parts of a product: how many are built, held back, or failed."""

from assay.events import PART_NOTE
from assay.plan.parts import some_parts
from assay.text import clean
from assay.views.results import (
    BuildView,
    FailedPart,
    MaybeView,
    PartsToBuild,
    PlanView,
    ResultKind,
    ResultView,
)
from assay.views.words.figures import figures_lines
from assay.views.words.rules import rule_lines

_FEW = 5  # failed parts that are listed, and lines of a traceback


def in_parts(view: PlanView) -> str:
    """Return how many parts were built, or would be; '' for a product that is not in parts."""
    if isinstance(view, ResultView) and view.parts:
        return f"{view.parts.built:,} of {view.parts.of:,} parts"
    match view.decision:
        case BuildView(parts=PartsToBuild() as parts) | MaybeView(parts=PartsToBuild() as parts):
            seconds = parts.about_seconds or 0.0
            about = f" (about {seconds:.1f} s)" if seconds >= 0.1 else ""
            most = "at most " if view.result is ResultKind.MAYBE else ""
            return f"{most}{len(parts.to_build):,} of {parts.of:,} parts{about}"
    return ""


def held_lines(view: PlanView) -> list[str]:
    """Return which parts are held back, and why."""
    lines = []
    for keeps, text in (
        (True, "readers keep what they had of it"),
        (False, "readers have nothing of it yet"),
    ):
        keys = [part.part for part in view.held_parts or () if part.readers_keep_before is keeps]
        if keys:
            count = f"{len(keys)} part{'s' if len(keys) > 1 else ''}"
            lines.append(f"{'':13}held back: {count} ({clean(some_parts(keys))}); {text}")
    lines += rule_lines(view.product, view.held_by or ())
    lines += failed_lines(view)
    if not lines:
        return []
    return [*lines, *changes_lines(view, "would change"), *affects_lines(view.affects or ())]


def failed_lines(view: PlanView) -> list[str]:
    """Return which parts could not be built, and why."""
    parts = view.failed_parts if isinstance(view, ResultView) else ()
    lines = [line for part in parts[:_FEW] for line in _failed(part)]
    if len(parts) > _FEW:
        lines.append(f"{'':13}failed: and {len(parts) - _FEW} more parts")
    return lines


def _failed(part: FailedPart) -> list[str]:
    message = clean(part.error, keep_lines=True).splitlines()
    error, *rest = [line for line in message if not line.startswith(PART_NOTE)] or [""]
    return [
        f"{'':13}failed: {clean(part.part)}: {error}",
        *(f"{'':15}{line}" for line in rest),
        *(f"{'':15}{clean(line)}" for line in part.detail.splitlines()[:_FEW]),
    ]


def changes_lines(view: PlanView, label: str) -> list[str]:
    """Return the two lines about what a version would change, or changed, if that is known."""
    lines = figures_lines(view.product, view.changes, label) if view.changes else []
    return [f"{'':13}{line}" for line in lines]


def affects_lines(affects: tuple[str, ...]) -> list[str]:
    """Return the line with the consumers that are affected."""
    return [f"{'':13}affects: {clean(', '.join(affects))}"] if affects else []

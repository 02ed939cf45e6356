"""The verb `products restore`: publishes an earlier version or release, and pins it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from assay.build.release import (
    Restored,
    RestoredRelease,
    Unpinned,
    restore,
    restore_release,
    unpin,
)
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json
from assay.cli.telling import tell_people
from assay.errors import UsageError
from assay.facts import short
from assay.text import clean


@click.command("restore")
@click.argument("words", nargs=-1, metavar="[NAME [VERSION]]")
@click.option(
    "--release",
    type=click.IntRange(min=1),
    metavar="R",
    help="Restore all that was published as of release R.",
)
@click.option(
    "--unpin",
    "unpin_only",
    is_flag=True,
    help="Undo the pinning of these products; default: of all.",
)
@options(ENV, NOW, JSON)
def verb(
    words: Sequence[str],
    release: int | None,
    unpin_only: bool,
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Publish an earlier version of a product, or all of an earlier release, and pin it."""
    _check_usage(words, release, unpin_only)
    with opened(env, now, last_good=True) as workspace:
        workspace.check_now(now)
        done: Restored | RestoredRelease | Unpinned
        if release is not None:
            done = restore_release(workspace, release)
        elif unpin_only:
            done = unpin(workspace, {workspace.resolve(name) for name in words})
        else:
            done = restore(workspace, workspace.resolve(words[0]), words[1])
        if as_json:
            print_json(_as_data(done))
        else:
            click.echo(clean("\n".join(_lines(done)), keep_lines=True))
        tell_people(workspace)


def _check_usage(words: Sequence[str], release: int | None, unpin_only: bool) -> None:
    """Raise UsageError for arguments that do not belong together."""
    if unpin_only and release is not None:
        raise UsageError("give --release R or --unpin, not both")
    expected = 0 if release is not None else 2
    if not unpin_only and len(words) != expected:
        hint = "products restore NAME VERSION"
        if words:
            hint = f"`products history {words[0]}` lists versions."
        message = "give a product and a version of it, or --release R, or --unpin"
        raise UsageError(message, hint=hint)


def _note(product: str) -> str:
    return f"pinned; `products restore {product} --unpin` lets it move again"


def _as_data(done: Restored | RestoredRelease | Unpinned) -> dict[str, Any]:
    match done:
        case Restored():
            return {
                "product": done.product,
                "release": done.release,
                "result": "restored",
                "version": done.version,
                "note": _note(done.product),
                "warnings": [str(mixture) for mixture in done.mixtures],
            }
        case RestoredRelease():
            return {
                "result": "restored",
                "as_of": done.as_of,
                "release": done.release,
                "products": [
                    {"product": move.product, "version": move.version, "moved": is_new}
                    for move, is_new in done.moves
                ],
                "left": list(done.unchanged),
                "warnings": [str(mixture) for mixture in done.mixtures],
            }
    versions = [{"product": name, "version": v} for name, v in done.versions.items()]
    return {"result": "unpinned", "release": done.release, "products": versions}


def _lines(done: Restored | RestoredRelease | Unpinned) -> list[str]:
    match done:
        case Restored():
            lines = [f"  restored  {done.product}  {short(done.version)}  {_note(done.product)}"]
        case RestoredRelease():
            lines = [
                f"  restored  {move.product}  {short(move.version)}"
                f"{'' if is_new else '  readers saw it already'}"
                for move, is_new in done.moves
            ]
            lines += [
                f"  left      {name}  not published as of release {done.as_of}"
                for name in done.unchanged
            ]
            lines.append("  pinned; `products restore --unpin` lets all move again")
        case Unpinned():
            lines = [f"  unpinned  {name}  {short(v)}" for name, v in done.versions.items()]
            return [*lines, "  they move again with the next run"]
    return [*lines, *(f"  note: {mixture}" for mixture in done.mixtures)]

"""The verb `products restore`: what is put back of the past, and pinned there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from assay.build.release import restore, restore_release, unpin
from assay.build.workspace import Workspace
from assay.cli.opening import check_now, opened
from assay.cli.options import ENV, JSON, NOW, options, say
from assay.errors import UsageError
from assay.model import short
from assay.text import clean


@click.command("restore")
@click.argument("words", nargs=-1, metavar="[NAME [VERSION]]")
@click.option(
    "--release",
    type=click.IntRange(min=1),
    metavar="R",
    help="All that readers saw as of this release.",
)
@click.option(
    "--unpin",
    "loose",
    is_flag=True,
    help="Let these products move again with the next run; all by default.",
)
@options(ENV, NOW, JSON)
def verb(
    words: Sequence[str],
    release: int | None,
    loose: bool,
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Put an earlier version of a product, or all of a release, before its readers, and pin it there."""
    if loose and release is not None:
        raise UsageError("give --release R or --unpin, not both")
    if not loose and len(words) != (0 if release is not None else 2):
        hint = (
            f"`products history {words[0]}` lists versions."
            if words
            else "products restore NAME VERSION"
        )
        raise UsageError(
            "give a product and a version of it, or --release R, or --unpin", hint=hint
        )
    with opened(env, now, last_good=True) as workspace:
        check_now(workspace, now)
        told = _restored(workspace, words, release, loose=loose)
    if as_json:
        return say(told)
    return click.echo(clean("\n".join(_lines(told)), keep_lines=True))


def _restored(
    workspace: Workspace, words: Sequence[str], release: int | None, *, loose: bool
) -> dict[str, Any]:
    if release is not None:
        return restore_release(workspace, release)
    if loose:
        return unpin(workspace, {workspace.resolve(name) for name in words})
    return restore(workspace, workspace.resolve(words[0]), words[1])


def _lines(told: dict[str, Any]) -> list[str]:
    if "product" in told:
        lines = [f"  {told['result']}  {told['product']}  {short(told['version'])}  {told['note']}"]
    else:
        notes = {True: "", False: "  readers saw it already"}
        lines = [
            f"  {told['result']}  {item['product']}  {short(item['version'])}{notes[item.get('moved', True)]}"
            for item in told["products"]
        ]
        lines += [
            f"  left      {name}  not published as of release {told['as_of']}"
            for name in told.get("left", ())
        ]
        note = "pinned; `products restore --unpin` lets all move again"
        lines.append(
            f"  {note if told['result'] == 'restored' else 'they move again with the next run'}"
        )
    return [*lines, *(f"  note: {line}" for line in told.get("warnings", ()))]

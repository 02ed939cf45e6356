"""The verbs `products gc` and `products restore`: what is kept of the past, and what is put back of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from assay.errors import UsageError
from assay.model import short
from assay.options import ENV, JSON, NOW, options, say
from assay.restoring import Readers, restore, restore_release, unpin
from assay.retention import Rule
from assay.session import Session, check_now, open_session
from assay.story import clean
from assay.tidying import tidied, tidy


@click.command()
@options(ENV, NOW, JSON)
@click.option("--keep", type=click.IntRange(1, 100_000), metavar="N", help="Keep the last N versions of each product.")
@click.option("--days", type=click.IntRange(0, 36_500), metavar="D", help="Keep what readers saw within D days.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def gc(env: str | None, now: datetime | None, as_json: bool, keep: int | None, days: int | None, dry_run: bool) -> None:
    """Remove versions that need not be kept, and files that nobody can be reading any more; tidy up small files."""
    with open_session(env, now, create=True, reads=False) as session:
        check_now(session, now)
        config = session.project.config
        rule = Rule(
            versions=config.keep_versions if keep is None else keep, days=config.keep_days if days is None else days
        )
        told = tidy(session, rule, dry=dry_run)
    if as_json:
        return say(told)
    return click.echo(clean("\n".join(tidied(told, dry=dry_run)), keep_lines=True))


@click.command("restore")
@click.argument("words", nargs=-1, metavar="[NAME [VERSION]]")
@click.option("--release", type=click.IntRange(min=1), metavar="R", help="All that readers saw as of this release.")
@click.option("--unpin", "loose", is_flag=True, help="Let these products move again with the next run; all by default.")
@options(ENV, NOW, JSON)
def restore_version(
    words: Sequence[str], release: int | None, loose: bool, env: str | None, now: datetime | None, as_json: bool
) -> None:
    """Put an earlier version of a product, or all of a release, before its readers, and pin it there."""
    if loose and release is not None:
        raise UsageError("give --release R or --unpin, not both")
    if not loose and len(words) != (0 if release is not None else 2):
        hint = f"`products history {words[0]}` lists versions." if words else "products restore NAME VERSION"
        raise UsageError("give a product and a version of it, or --release R, or --unpin", hint=hint)
    with open_session(env, now) as session:
        check_now(session, now)
        told = _restored(session, words, release, loose=loose)
    if as_json:
        return say(told)
    return click.echo(clean("\n".join(_lines(told)), keep_lines=True))


def _restored(session: Session, words: Sequence[str], release: int | None, *, loose: bool) -> dict[str, Any]:
    graph = session.project.graph
    readers = Readers(
        catalog=session.catalog,
        storage=session.storage,
        graph=graph,
        environment=session.environment,
        now=session.clock(),
    )
    if release is not None:
        return restore_release(readers, release)
    if loose:
        return unpin(readers, {graph.resolve(name) for name in words})
    return restore(readers, graph.resolve(words[0]), words[1])


def _lines(told: dict[str, Any]) -> list[str]:
    if "product" in told:
        lines = [f"  {told['result']}  {told['product']}  {short(told['version'])}  {told['note']}"]
    else:
        notes = {True: "", False: "  readers saw it already"}
        lines = [
            f"  {told['result']}  {item['product']}  {short(item['version'])}{notes[item.get('moved', True)]}"
            for item in told["products"]
        ]
        lines += [f"  left      {name}  not published as of release {told['as_of']}" for name in told.get("left", ())]
        note = "pinned; `products restore --unpin` lets all move again"
        lines.append(f"  {note if told['result'] == 'restored' else 'they move again with the next run'}")
    return [*lines, *(f"  note: {line}" for line in told.get("warnings", ()))]

"""The verb `products gc`: removes old versions and unused files, and merges small files."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json
from assay.plan.retention import KeepReason, KeepRule, KeptFor
from assay.text import clean
from assay.upkeep.gc import Tidied, tidy
from assay.views.words.numbers import count_of

_GROUPS = {
    KeptFor.PUBLISHED: "that readers see",
    KeptFor.COMPARED: "that rules compare with",
    KeptFor.BEING_BUILT: "of products that are being built",
    KeptFor.SEEN_LATELY: "that readers saw lately",
    KeptFor.RELEASED: "that were released",
    KeptFor.BUILT_LATELY: "built lately",
    KeptFor.SET_ASIDE: "of rows set aside",
}


@click.command("gc")
@options(ENV, NOW, JSON)
@click.option(
    "--keep",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Keep the last N versions of each product; default: keep_versions in the settings.",
)
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    metavar="D",
    help="Keep versions published within the last D days; default: keep_days in the settings.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
def verb(
    env: str | None,
    now: datetime | None,
    as_json: bool,
    keep: int | None,
    days: int | None,
    dry_run: bool,
) -> None:
    """Remove old versions and unused files, and merge small files."""
    with opened(env, now, create=True, reads=False, last_good=True) as workspace:
        workspace.check_now(now, releases=False)
        config = workspace.config
        rule = KeepRule(
            versions=config.keep_versions if keep is None else keep,
            days=config.keep_days if days is None else days,
        )
        tidied = tidy(workspace, rule, dry=dry_run)
    if as_json:
        return print_json(_as_data(tidied))
    return click.echo(clean("\n".join(_lines(tidied, dry=dry_run)), keep_lines=True))


def _as_data(tidied: Tidied) -> dict[str, Any]:
    return {
        "dropped": [
            {
                "product": dropped.product,
                "version": dropped.version,
                "built_at": dropped.built_at.isoformat(),
                "good": dropped.good,
            }
            for dropped in tidied.dropped
        ],
        "kept": {version: str(reason) for version, reason in tidied.kept.items()},
        "moves": tidied.moves,
        "runs": tidied.runs,
        "incidents": tidied.incidents,
        "as_of_since": tidied.as_of_since,
        "bytes": tidied.bytes,
        "removed": tidied.removed,
        "waiting": tidied.waiting,
        "compacted": tidied.compacted,
        "sources": tidied.sources,
    }


def _lines(tidied: Tidied, *, dry: bool) -> Iterator[str]:
    """Yield the lines that say what was done, or what would be done."""
    be = "to be " if dry else ""
    for product, count in sorted(Counter(dropped.product for dropped in tidied.dropped).items()):
        yield f"  {product}: {count_of(count, 'version')} {be}dropped"
    groups = Counter(map(_group, tidied.kept.values()))
    if groups:
        counts = "; ".join(f"{count} {group}" for group, count in groups.items())
        yield f"  kept {count_of(len(tidied.kept), 'version')}: {counts}"
    for environment, release in tidied.as_of_since.items():
        yield f"  {environment} can be seen as of release {release} or later"
    for item in tidied.compacted:
        yield f"  {item.product}: {item.files:,} files of {item.bytes:,} bytes into {item.into}"
    for waiting in tidied.waiting:
        files = count_of(len(waiting.files), "file")
        yield f"  {files} that {waiting.why} to be removed later"
    size = f", {tidied.bytes:,} bytes of versions dropped" if tidied.bytes else ""
    yield f"  {count_of(len(tidied.removed), 'file')} {be}removed{size}"


def _group(reason: KeepReason) -> str:
    """Return the group of a reason to keep a version, as in "3 that readers see"."""
    return _GROUPS.get(reason.kept_for, f"that are {reason}")

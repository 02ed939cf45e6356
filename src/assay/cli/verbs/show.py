"""The verb `products show`: rows of a version, or those that fail a rule; of a source, what it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from assay.build.evidence import never_shown
from assay.build.inputs import inputs_as_of_now
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options, say
from assay.cli.printing import table
from assay.cli.rows import copy_out, note_held_back, show_rows, version_shown
from assay.errors import UsageError
from assay.facts import SourceState, short
from assay.model import Source
from assay.plan.names import rule_of
from assay.sensitive import secret
from assay.text import clean
from assay.views import query as queries
from assay.views.read import table_of
from assay.views.rules import failures as failures_of


@click.command("show")
@click.argument("name")
@options(ENV, JSON)
@click.option(
    "--version", "version_id", metavar="VERSION", help="A version of it, also one never published."
)
@click.option("--held", is_flag=True, help="The version that is held back.")
@click.option(
    "--failures", metavar="RULE", help="The rows that fail this rule: its words, or some of them."
)
@click.option(
    "-n", "--rows", "count", default=10, show_default=True, type=click.IntRange(0, 1_000_000)
)
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there instead, all of it.",
)
def verb(
    name: str,
    env: str | None,
    as_json: bool,
    version_id: str | None,
    held: bool,
    failures: str | None,
    count: int,
    to: Path | None,
) -> None:
    """Show the first rows of what readers see of a product; values of sensitive columns are hidden."""
    with opened(env, last_good=True) as workspace:
        graph, observed = workspace.graph, workspace.observe()
        full = graph.resolve(name, sources=True)
        if full in graph.sources:
            if version_id or held or failures is not None or to:
                raise UsageError(
                    f"{full} is a source: it has no versions",
                    hint="`products show` alone says what it is.",
                )
            source = _source(graph.sources[full], observed.sources[full])
            return say(source) if as_json else click.echo(clean(_line(source)))
        product = graph.products[full]
        shelf, steps = inputs_as_of_now(workspace, observed)
        version = version_shown(workspace, product.name, steps, version_id, held=held)
        if failures is not None:
            rule = rule_of(product, failures)
            with failures_of(workspace.project, shelf, product, version, rule) as (names, rows):
                return show_rows(names, rows, None if to else count, as_json, to)
        stored = table_of(version, workspace.storage)
    if to:
        copy_out(product.name, stored, to)
        copied = {"product": product.name, "version": version.id, "file": str(to)}
        say(copied) if as_json else click.echo(
            clean(f"  copied  {product.name} {short(version.id)} to {to}")
        )
    elif not version.columns:
        told = {
            "product": product.name,
            "version": version.id,
            "file": str(stored.files[0]),
            "bytes": version.bytes,
        }
        say(told) if as_json else click.echo(
            clean(
                f"  {product.name} {short(version.id)}: {version.bytes:,} bytes at {stored.files[0]}"
            )
        )
    else:
        hide = sorted(
            secret([c.name for c in version.columns], never_shown(shelf, product, stored))
        )
        names, found = queries.first_rows(stored, count, workspace.config, hide)
        say([dict(zip(names, row, strict=True)) for row in found]) if as_json else table(
            names, found
        )
        if not as_json and count < version.rows:
            click.echo(f"  {count} of {version.rows:,} rows; -n {version.rows} shows all", err=True)
    note_held_back([version])
    return None


def _source(source: Source, state: SourceState) -> Mapping[str, Any]:
    """Return what a source is, as plain data."""
    kind = "file" if source.is_file else source.format
    files = {
        "files": [file.path for file in state.files],
        "bytes": sum(file.size for file in state.files),
    }
    return {
        "source": source.name,
        "kind": kind,
        "pattern": source.pattern,
        **files,
        "missing": state.missing,
    }


def _line(source: Mapping[str, Any]) -> str:
    """Return what a user reads of a source."""
    if source["missing"]:
        return f"  {source['missing']}"
    size, files = f"{source['bytes']:,} bytes", source["files"]
    if source["kind"] == "file":
        return f"  {source['source']}: {size} at {files[0]}, a file: a function that names it takes it as a pathlib.Path"
    count = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    return f"  {source['source']}: a source, {count} matching {source['pattern']} ({source['kind']}), {size}"

"""The verb `products show`: rows of a version, or those that fail a rule."""

from pathlib import Path

import click

from assay import query as queries
from assay.cleaning import clean
from assay.model import short
from assay.options import ENV, JSON, options, say
from assay.reading import table_of
from assay.report import table
from assay.rulings import failures as failures_of
from assay.rulings import rule_of
from assay.secrecy import secret
from assay.session import open_session
from assay.shown import copy_out, shelf_of, show_rows, version_shown


@click.command("show")
@click.argument("name")
@options(ENV, JSON)
@click.option("--version", "version_id", metavar="VERSION", help="A version of it, also one never published.")
@click.option("--held", is_flag=True, help="The version that is held back.")
@click.option("--failures", metavar="RULE", help="The rows that fail this rule: its words, or some of them.")
@click.option("-n", "--rows", "count", default=10, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Write it there instead, all of it.")
def verb(
    name: str, env: str | None, as_json: bool, version_id: str | None, held: bool, failures: str | None, count: int,
    to: Path | None,
) -> None:  # fmt: skip
    """Show the first rows of what readers see of a product; values of sensitive columns are hidden."""
    with open_session(env, last_good=True) as session:
        product = session.project.graph.products[session.project.graph.resolve(name)]
        observed = session.observe()
        shelf, steps = shelf_of(session, observed)
        version = version_shown(session, product.name, steps, version_id, held=held)
        if failures is not None:
            rule = rule_of(product, failures)
            with failures_of(session.project, shelf, product, version, rule) as (names, rows):
                return show_rows(names, rows, None if to else count, as_json, to)
        stored = table_of(version, session.storage)
    if to:
        copy_out(product.name, stored, to)
        copied = {"product": product.name, "version": version.id, "file": str(to)}
        say(copied) if as_json else click.echo(clean(f"  copied  {product.name} {short(version.id)} to {to}"))
    elif not version.columns:
        told = {"product": product.name, "version": version.id, "file": str(stored.files[0]), "bytes": version.bytes}
        say(told) if as_json else click.echo(
            clean(f"  {product.name} {short(version.id)}: {version.bytes:,} bytes at {stored.files[0]}")
        )
    else:
        hide = sorted(secret([c.name for c in version.columns], session.project.graph.sensitive(product.name)))
        names, found = queries.first_rows(stored, count, session.project.config, hide)
        say([dict(zip(names, row, strict=True)) for row in found]) if as_json else table(names, found)
        if not as_json and count < version.rows:
            click.echo(f"  {count} of {version.rows:,} rows; -n {version.rows} shows all", err=True)
    return None

"""The verb `products check`: what is wrong with the declarations, without any data."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from assay.cli.check_formats import FORMATS, PLAIN, Checked, mistakes
from assay.cli.opening import opened
from assay.cli.options import ENV, EXCLUDE, JSON, SELECT, options
from assay.cli.report_files import (
    CODE_QUALITY,
    JUNIT,
    SARIF,
    SUMMARY,
    ReportFile,
    check_files,
    folder_in_repository,
    write_reports,
)
from assay.config import find_config
from assay.errors import DeclarationError, UsageError
from assay.plan.select import select_products
from assay.views.changes import with_changes
from assay.views.check import check

_BROKEN = 4  # exit code when something is wrong


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(SELECT, EXCLUDE, JSON)
@click.option(
    "--against",
    metavar="REF",
    help="Also report what changed since a git ref, a folder, a copy of a manifest.json, or what an "
    "environment publishes (env:NAME).",
)
@click.option(
    "--data",
    is_flag=True,
    help="With --against env:NAME: also compare what it publishes with what --env publishes.",
)
@options(ENV)
@click.option(
    "--format",
    "format",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="Print the findings in this format.",
)
@options(JUNIT, SARIF, CODE_QUALITY, SUMMARY)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    as_json: bool,
    against: str | None,
    data: bool,
    env: str | None,
    format: str,
    junit: Path | None,
    sarif: Path | None,
    codequality: Path | None,
    summary: Path | None,
) -> None:
    """Check that code, rules and contracts fit together, without any data.

    NAMES are selectors, as after -s. Reads no data, and changes nothing, except that types of
    columns "as stored" that are not frozen yet are written to columns.lock. Exits with 4 when
    something is wrong, such as a change that breaks a promise.
    """
    if data and against is None:
        raise UsageError("--data needs --against env:NAME: what to compare with")
    files = {"junit": junit, "sarif": sarif, "codequality": codequality, "summary": summary}
    check_files(files)
    format = "json" if as_json else format
    try:
        with opened(env, reads=data, needs_catalog=False) as workspace:
            wanted = sorted(select_products(workspace.graph, [*names, *select], exclude))
            products = tuple(workspace.graph.products[name] for name in wanted)
            view = check(workspace, wanted)
            if against is not None:
                chosen = wanted if any([names, select, exclude]) else None
                view = with_changes(view, workspace, against, chosen, data=data)
            folder = folder_in_repository(workspace.config.root)
    except DeclarationError as error:
        folder = folder_in_repository(find_config(Path.cwd()).root)
        checked = Checked(view=mistakes(error), folder=folder)
        if format not in PLAIN:
            click.echo(checked.text(format), nl=False)
        _write(checked, files)
        raise
    checked = Checked(view=view, products=products, folder=folder)
    click.echo(checked.text(format), nl=False)
    written = _write(checked, files)
    if view.failed or not written:
        click.get_current_context().exit(_BROKEN if view.failed else 1)


def _write(checked: Checked, files: Mapping[str, Path | None]) -> bool:
    """Write the files that were asked for, by option; return whether all could be written."""
    formats = {"codequality": "gitlab", "summary": "markdown"}  # of options named otherwise
    return write_reports(
        ReportFile(option, file, partial(checked.text, formats.get(option, option)))
        for option, file in files.items()
    )

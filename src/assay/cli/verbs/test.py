"""The verb `products test`: tests of products on the small inputs that they give."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TextIO

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, EXCLUDE, JSON, SELECT, options
from assay.cli.printing import print_json
from assay.cli.report_files import (
    JUNIT,
    SUMMARY,
    check_files,
    folder_in_repository,
    mistakes_reported,
    write_case_reports,
)
from assay.cli.running import tune_garbage_collection
from assay.declare.project import Project, open_project
from assay.errors import UsageError
from assay.signals import stop_at_sigterm
from assay.testing.cases import Case, chosen, read_cases
from assay.testing.generate import generate as write_test
from assay.testing.report import report_of_tests
from assay.testing.results import CaseView, generated_lines, lines_of
from assay.testing.running import run_case
from assay.text import clean
from assay.times import seconds_of
from assay.views.json_text import to_json

_COLOURS = {"passed": "green", "failed": "red", "error": "red"}


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 90s or 10m") from None


@click.command("test")
@click.argument("names", nargs=-1)
@click.option("-k", "words", default="", metavar="TEXT", help="Only the tests whose name has TEXT.")
@click.option(
    "--timeout",
    default="60s",
    callback=_seconds,
    metavar="TIME",
    help="How long a test may take; default: 60s.",
)
@click.option(
    "--generate",
    default="",
    metavar="NAME",
    help="Write a test of a product from a few rows of what it reads now.",
)
@click.option(
    "--rows",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="With --generate: at most N rows of each input; default: 10.",
)
@options(SELECT, EXCLUDE, ENV, JSON, JUNIT, SUMMARY)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    words: str,
    timeout: float,
    generate: str,
    rows: int | None,
    env: str | None,
    as_json: bool,
    junit: Path | None,
    summary: Path | None,
) -> None:
    """Run the tests of products on the small inputs that they give; --generate writes one."""
    if generate:
        if names or select or exclude or words or junit or summary:
            raise UsageError("--generate writes one test, and runs no other")
        return _generate(generate, rows or 10, timeout, env, as_json=as_json)
    if rows or env:
        raise UsageError(f"{'--rows' if rows else '--env'} goes with --generate")
    check_files({"junit": junit, "summary": summary})
    with mistakes_reported("products test", junit, summary):
        project = open_project()
        cases = _chosen(project, [*names, *select], exclude, words)
    return _run(project, cases, timeout, as_json=as_json, junit=junit, summary=summary)


def _generate(name: str, rows: int, timeout: float, env: str | None, *, as_json: bool) -> None:
    """Write a test of a product, and say what is in it."""
    stop_at_sigterm()
    tune_garbage_collection()
    with opened(env) as workspace, redirect_stdout(sys.stderr):
        view = write_test(workspace, name, rows=rows, timeout=timeout)
    if as_json:
        return print_json(view)
    for line in generated_lines(view):
        click.echo(clean(line))
    return None


def _run(
    project: Project,
    cases: Sequence[Case],
    timeout: float,
    *,
    as_json: bool,
    junit: Path | None,
    summary: Path | None,
) -> None:
    """Run tests, print how each came out, and exit with 1 if one did not pass."""
    out = sys.stdout
    stop_at_sigterm()
    tune_garbage_collection()
    with redirect_stdout(sys.stderr):  # output of users' code is not part of ours
        project.definitions()
        views = []
        for case in cases:
            views.append(run_case(project, case, timeout))
            if not as_json:
                _print(views[-1], out)
        out.write(f"{to_json(views, indent=2) if as_json else _summary(views)}\n")
    folder = folder_in_repository(project.config.root)
    written = write_case_reports(lambda: report_of_tests(views, folder), junit, summary)
    passed = all(view.result == "passed" for view in views)
    click.get_current_context().exit(int(not (passed and written)))


def _chosen(
    project: Project, select: Sequence[str], exclude: Sequence[str], words: str
) -> list[Case]:
    """Return the tests to run; UsageError for wrong selectors, and when there is no such test."""
    cases = read_cases(project.config, project.graph)
    if not cases:
        raise UsageError(
            "there are no test files",
            hint="Tests of a product are in a file NAME.test.toml beside the definitions;"
            " `products test --generate NAME` writes one.",
        )
    tests = chosen(cases, project.graph, select, exclude, words)
    if not tests:
        wanted = [*select, *(f"--exclude {term}" for term in exclude)]
        wanted += [f"-k {words!r}"] if words else []
        raise UsageError(
            f"no test matches {' '.join(wanted)}",
            hint=f"There are {len(cases)}: `products test` runs all.",
        )
    return tests


def _print(view: CaseView, out: TextIO) -> None:
    """Print a line for a test, and below it what is wrong."""
    label = click.style(f"{view.result:<7}", fg=_COLOURS[view.result])
    name = f"{clean(view.product)}  {clean(view.test)}"
    click.echo(f"  {label} {name}   {view.seconds:.1f} s", file=out)
    if view.result != "passed":
        for line in lines_of(view):
            click.echo(f"          {clean(line)}", file=out)
    out.flush()


def _summary(views: Sequence[CaseView]) -> str:
    counts = {
        result: sum(view.result == result for view in views)
        for result in ("passed", "failed", "error")
    }
    text = ", ".join(
        f"{count} {'with an error' if result == 'error' else result}"
        for result, count in counts.items()
        if count
    )
    return f"  {text}"

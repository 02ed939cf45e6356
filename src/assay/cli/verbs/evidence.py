"""The verb `products evidence`: one archive about a published version, that can be checked without us."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click
from msgspec.structs import replace

from assay.archive.again import rebuild
from assay.archive.check import Checked, check
from assay.archive.collect import Options
from assay.archive.sign import check_key, sign
from assay.archive.write import Written, write_evidence
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json
from assay.errors import UsageError
from assay.facts import short
from assay.text import clean
from assay.views.words.diff import diffs_text
from assay.views.words.numbers import count_of

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("evidence")
@click.argument("name", required=False)
@click.option(
    "--release",
    type=click.IntRange(min=1),
    metavar="R",
    help="Of the version that release R published; default: of what is published now.",
)
@click.option("--to", metavar="FILE", type=_FILE, help="Where to write it; default: NAME-R.zip.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if there is one.")
@click.option("--data", is_flag=True, help="Put in the files of the version.")
@click.option("--inputs", is_flag=True, help="Put in the files of everything it was built from.")
@click.option("--sensitive", is_flag=True, help="Put in files with sensitive columns, too.")
@click.option(
    "--upstream",
    metavar="N",
    default="all",
    show_default=True,
    help="How many steps upstream to go.",
)
@click.option("--sign", "key", metavar="KEY", type=_FILE, help="Sign it with an SSH private key.")
@click.option("--verify", "verified", metavar="FILE", type=_FILE, help="Check an archive.")
@click.option(
    "--rebuild",
    "again",
    metavar="FILE",
    type=_FILE,
    help="Build its version again, elsewhere, and compare.",
)
@click.option(
    "--signed-by",
    metavar="PUBLIC_KEY",
    type=_FILE,
    help="With --verify: check that this SSH key has signed it.",
)
@options(ENV, JSON)
def verb(
    name: str | None,
    release: int | None,
    to: Path | None,
    overwrite: bool,
    data: bool,
    inputs: bool,
    sensitive: bool,
    upstream: str,
    key: Path | None,
    verified: Path | None,
    again: Path | None,
    signed_by: Path | None,
    env: str | None,
    as_json: bool,
) -> None:
    """Write all that is known about a published version into one archive, or check one.

    The archive holds evidence.json, a page to read, and the code; --verify needs no project.
    """
    given = [option for option in (verified, again) if option is not None]
    if len(given) + (name is not None) != 1:
        raise UsageError("name a product, or a file after --verify or --rebuild")
    if signed_by is not None and verified is None:
        raise UsageError("--signed-by is for --verify; --sign KEY signs what is written")
    if verified is not None:
        return _verify(verified, signed_by, as_json=as_json)
    if again is not None:
        return _rebuild(again, as_json=as_json)
    assert name is not None
    wanted = Options(
        release=release,
        data=data,
        inputs=inputs,
        sensitive=sensitive,
        upstream=_steps(upstream),
    )
    check_key(key)
    with opened(env, last_good=True) as workspace:
        written = write_evidence(workspace, name, wanted, to, overwrite=overwrite)
    if key:
        written = replace(written, signature=str(sign(Path(written.file), key)))
    if as_json:
        return print_json(written)
    return _print_written(written)


def _steps(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--upstream {text!r}: give a number of steps, or all")
    return int(text)


def _print_written(view: Written) -> None:
    about = f"{view.product} {short(view.version)}, release {view.release} of {view.environment}"
    upstream = count_of(view.versions - 1, "version")
    click.echo(clean(f"  wrote   {view.file}  {view.bytes:,} bytes"))
    click.echo(clean(f"  about   {about}; {upstream} upstream, {count_of(view.sources, 'source')}"))
    for line in view.missing:
        click.echo(clean(f"  lacks   {line}"))
    if view.signature:
        click.echo(clean(f"  signed  {view.signature}"))


def _verify(file: Path, signed_by: Path | None, *, as_json: bool) -> None:
    checked = check(file, signed_by)
    if as_json:
        print_json(checked)
    else:
        _print_checked(checked)
    if checked.problems:
        click.get_current_context().exit(1)


def _print_checked(checked: Checked) -> None:
    about = f"{checked.product} {short(checked.version)}"
    click.echo(
        clean(f"  {checked.file}: {about}, release {checked.release} of {checked.environment}")
    )
    for problem in checked.problems:
        click.echo(clean(f"  wrong   {problem}"))
    if not checked.problems:
        entries = count_of(checked.entries, "entry").replace("entrys", "entries")
        click.echo(f"  right   the SHA-256 of {entries}, {checked.bytes:,} bytes")
        about = f"{count_of(checked.versions, 'version')} and {count_of(checked.sources, 'source')}"
        click.echo(f"  right   the digests and counts of {about} agree")
    if checked.contents:
        click.echo(f"  right   the rows of {count_of(len(checked.contents), 'version')}")
    if checked.signed_by:
        click.echo(clean(f"  signed  by {checked.signed_by}"))
    for note in checked.notes:
        click.echo(clean(f"  note    {note}"))


def _rebuild(file: Path, *, as_json: bool) -> None:
    with redirect_stdout(sys.stderr):  # output of users' code is not part of ours
        rebuilt = rebuild(file, Path.cwd())
    if as_json:
        print_json(rebuilt)
    else:
        click.echo(clean(f"  {rebuilt.product} {short(rebuilt.version)}: {rebuilt.outcome}"))
        if rebuilt.why:
            click.echo(clean(f"    {rebuilt.why}", keep_lines=True))
        for note in rebuilt.notes:
            click.echo(clean(f"  note    {note}"))
        for line in diffs_text([rebuilt.diff] if rebuilt.diff else []):
            click.echo(line)
    if not rebuilt.is_same:
        click.get_current_context().exit(1)

"""Options that write a report to a file, beside what a verb prints, and how these are written."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from msgspec import Struct

from assay.config import find_config
from assay.errors import DeclarationError, UsageError, words_of
from assay.text import clean
from assay.views.formats.cases import Report, mistakes_report
from assay.views.formats.junit import junit
from assay.views.formats.markdown import report_summary

_JOB_SUMMARY = "GITHUB_STEP_SUMMARY"  # the file that GitHub Actions shows on the page of a run
_FILE = click.Path(dir_okay=False, path_type=Path)

JUNIT = click.option(
    "--junit", type=_FILE, metavar="FILE", help="Also write the results to FILE, as JUnit XML."
)
SUMMARY = click.option(
    "--summary", type=_FILE, metavar="FILE", help="Also write a summary to FILE, in Markdown."
)
SARIF = click.option(
    "--sarif", type=_FILE, metavar="FILE", help="Also write the findings to FILE, as SARIF."
)
CODE_QUALITY = click.option(
    "--codequality",
    type=_FILE,
    metavar="FILE",
    help="Also write the findings to FILE, as a code quality report of GitLab.",
)


class ReportFile(Struct, frozen=True):
    """An option that names a file for a report, and what makes the text; `file` None: not given."""

    option: str
    file: Path | None
    text: Callable[[], str]


def check_files(files: Mapping[str, Path | None]) -> None:
    """Raise UsageError for an option (a key) whose value is empty, or names the file of another."""
    seen: dict[Path, str] = {}
    for option, file in files.items():
        if file == Path():
            hint = "Is a variable that it names, such as $GITHUB_STEP_SUMMARY, set here?"
            raise UsageError(f"--{option} has an empty value", hint=hint)
        if file and (other := seen.setdefault(file.resolve(), option)) != option:
            raise UsageError(f"--{other} and --{option} name the same file, {file}")


def write_reports(reports: Iterable[ReportFile]) -> bool:
    """Write the reports whose file is given; print an error for each that could not be written.

    Returns whether all were written. What was to be printed must have been printed before.
    """
    written = True
    for report in reports:
        if report.file is None:
            continue
        try:
            write_file(report.file, report.text(), append=_is_job_summary(report.file))
        except OSError as error:
            reason = error.strerror or words_of(error)
            if error.filename:
                reason += f": {error.filename}"
            message = f"--{report.option}: {report.file} could not be written: {reason}"
            click.echo(clean(message), err=True)
            written = False
    return written


def write_case_reports(
    report: Callable[[], Report], junit_file: Path | None, summary: Path | None
) -> bool:
    """Write a report as JUnit XML and as a summary, where a file is given; see `write_reports`."""
    if junit_file is None and summary is None:
        return True
    made = report()
    return write_reports(
        [
            ReportFile("junit", junit_file, lambda: junit(made)),
            ReportFile("summary", summary, lambda: report_summary(made)),
        ]
    )


@contextmanager
def mistakes_reported(title: str, junit_file: Path | None, summary: Path | None) -> Iterator[None]:
    """Write the reports of a command also when the declarations have mistakes; these are raised."""
    try:
        yield
    except DeclarationError as error:
        folder = folder_in_repository(find_config(Path.cwd()).root)
        report = mistakes_report(title, error, folder)
        write_case_reports(lambda: report, junit_file, summary)
        raise


def write_file(file: Path, text: str, *, append: bool = False) -> None:
    """Write a text file in one step: readers see all of it or what was there before.

    Missing folders are created. A pipe or a device is written to directly. With `append`, the
    text goes after what is there.
    """
    data = text.encode("utf-8", "backslashreplace")
    if append or file.is_relative_to("/dev") or (file.exists() and not file.is_file()):
        with file.open("ab") as out:
            out.write(data)
        return
    file = file.resolve()  # what a link points to is replaced, not the link
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name[:100]}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        if file.exists():
            beside.chmod(stat.S_IMODE(file.stat().st_mode))
        beside.replace(file)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def folder_in_repository(root: Path) -> str:
    """Return where a project is in its git repository, with "/"; "" for at its top, or in none."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return "" if folder == root else root.relative_to(folder).as_posix()
    return ""


def _is_job_summary(file: Path) -> bool:
    named = os.environ.get(_JOB_SUMMARY, "")
    return bool(named) and file.resolve() == Path(named).resolve()

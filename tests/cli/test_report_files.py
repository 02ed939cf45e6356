"""Files that verbs write beside what they print: whole or not at all, and never instead of it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from assay.cli.report_files import folder_in_repository, write_file
from tests.conftest import Place

TOTAL = 'sql_product("total", "select sum({})::bigint as total from numbers", owner="o")\n'


def test_missing_folders_are_created_and_what_was_there_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "reports/deep/check.xml"
    write_file(file, "long first text")
    file.chmod(0o640)
    write_file(file, "second")
    assert file.read_text() == "second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["check.xml"], "nothing is left beside"


def test_what_a_link_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "text"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE) as cat:
        write_file(tmp_path / "pipe", "text")
        assert cat.communicate()[0] == b"text"


def test_halves_of_characters_do_not_stop_it(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "a\ud800b")
    assert (tmp_path / "file").read_text() == "a\\ud800b"


def test_where_a_project_is_in_its_repository(tmp_path: Path) -> None:
    project = tmp_path / "data/shop"
    project.mkdir(parents=True)
    assert folder_in_repository(project) == ""
    (tmp_path / ".git").write_text("gitdir: elsewhere")  # a worktree has a file
    assert folder_in_repository(project) == "data/shop"
    assert folder_in_repository(tmp_path) == ""


@pytest.mark.parametrize(("column", "code"), [("x", 1), ("y", 4)])
def test_what_cannot_be_written_is_an_error_and_loses_no_result(
    place: Place, column: str, code: int
) -> None:
    """The other files are written all the same; a failed check stays one."""
    place.write("products/sales.py", TOTAL.format(column), header=True)
    (place.root / "file").touch()
    ran = place.run("check", "--junit", "file/check.xml", "--summary", "check.md")
    assert ran.code == code
    assert "1 product checked" in ran.out
    file = place.root / "file"
    assert ran.err == f"--junit: file/check.xml could not be written: File exists: {file}\n"
    assert (place.root / "check.md").read_text().startswith("### products check")


def test_a_run_is_done_though_its_report_cannot_be_written(place: Place) -> None:
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    (place.root / "file").touch()
    ran = place.run("materialize", "--json", "--junit", "file/run.xml")
    assert ran.code == 1 and "--junit: file/run.xml could not be written" in ran.err
    assert ran.events[-1]["exit_code"] == 0, "that of the run"
    assert place.query("from total") == [{"total": 6}]


def test_a_folder_and_a_file_for_two_reports_are_mistakes_before_anything_is_done(
    place: Place,
) -> None:
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    assert place.run("materialize", "--junit", "data").code == 2
    ran = place.run("materialize", "--junit", "a", "--summary", "./a")
    assert (ran.code, ran.err) == (2, "--junit and --summary name the same file, a\n")
    ran = place.run("materialize", "--summary", "")
    assert ran.code == 2 and ran.err.startswith("--summary has an empty value\n")
    assert not (place.root / ".products/store").exists()


def test_the_summary_of_a_job_grows(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub has one file for a step, in which commands add to each other; other files are replaced."""
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place.root / "job.md"))
    for name in ("job.md", "own.md"):
        for _ in range(2):
            assert place.run("check", "--summary", name).code == 0
    assert (place.root / "job.md").read_text().count("### products check passed") == 2
    assert (place.root / "own.md").read_text().count("### products check passed") == 1

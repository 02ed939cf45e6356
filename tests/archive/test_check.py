"""--verify: every digest again, the archive against itself, and archives that somebody made to do harm."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.archive.check import check
from assay.archive.read import opened
from assay.errors import UsageError
from tests.archive import shop
from tests.conftest import Place


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The evidence of `note`, with all data."""
    place = Place(tmp_path_factory.mktemp("shop"))
    place.write("pyproject.toml", "[tool.products]\n")
    place.numbers("a", 1, 2, 3)
    shop.built(place)
    first = place.run("evidence", "note", "--to", "e.zip", "--data", "--inputs")
    assert first.code == 0, first.err
    second = place.run("evidence", "note", "--to", "again.zip", "--data", "--inputs")
    assert second.code == 0, second.err
    content = (place.root / "e.zip").read_bytes()
    assert (place.root / "again.zip").read_bytes() == content, "the same evidence is the same bytes"
    return content


@pytest.fixture
def file(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in a folder without a project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.zip").write_bytes(archive)
    return tmp_path / "e.zip"


def test_it_is_right_and_needs_no_project(file: Path) -> None:
    checked = check(file)
    assert checked.problems == ()
    assert (checked.product, checked.release, checked.versions, checked.sources) == (
        "sales.note",
        1,
        3,
        1,
    )
    assert len(checked.contents) == 2, "the rows of lines and total; note is a file"
    with zipfile.ZipFile(file) as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {i.date_time[0] for i in archive.infolist()} == {1980}
        assert archive.namelist()[-1] == "MANIFEST"
    ran = Place(file.parent).run("evidence", "--verify", "e.zip")
    assert (ran.code, "right   the rows of 2 versions" in ran.out) == (0, True), ran.out + ran.err


@pytest.mark.long
def test_one_changed_byte_anywhere_is_found(file: Path) -> None:
    content = file.read_bytes()
    places = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            at = info.header_offset
            lengths = struct.unpack_from("<HH", content, at + 26)  # of name and extra fields
            places[info.filename] = at + 30 + sum(lengths) + info.file_size // 2
    for name, place in places.items():
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        try:
            problems = check(file).problems
        except UsageError as error:
            problems = (error.what,)
        assert problems, name


def document(change: Callable[[dict], object]) -> Callable[[dict[str, bytes]], None]:
    """Change evidence.json, and seal it again: only what it says may give it away."""

    def forge(entries: dict[str, bytes]) -> None:
        evidence = json.loads(entries["evidence.json"])
        change(evidence)
        entries["evidence.json"] = json.dumps(evidence).encode()
        shop.sealed(entries)

    return forge


def set_to(path: str, value: object) -> Callable[[dict], None]:
    """Return what sets one field, `versions.0.rows` for one."""

    def change(evidence: dict) -> None:
        *above, last = path.split(".")
        inside: object = evidence
        for name in above:
            inside = inside[int(name)] if isinstance(inside, list) else inside[name]  # type: ignore[index]
        inside[last] = value  # type: ignore[index]

    return change


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("versions.1.rows", 4, "4 rows, and its parts have 3"),
        ("versions.1.bytes", 4, "4 bytes, and its files have"),
        ("versions.1.digest", "0" * 32, "is not what it was built from as sales.lines"),
        ("versions.1.digest", "0" * 32, "its content digest is not that of its rows"),
        ("versions.1.key", "0" * 32, "its key is not that of its code and inputs"),
        ("versions.1.code.digest", "0" * 32, "the digest of its code is not that"),
        ("versions.1.verdicts.0.status", "failed", "it says failed, and its rules do not"),
        ("versions.1.totals.0.sum", "7", "the control total of x is 6, not 7"),
        ("versions.1.files.0.sha256", "0" * 64, "is not the file that the evidence names"),
        ("versions.1.files.0.entry", "data/none", "data/none is not in the archive"),
        ("versions.1.id", "v0", "a version is in it twice"),
        ("sources.0.files.0.sha256", "0" * 64, "its content digest is not that of its files"),
        ("version", "v1", "is not the first of its versions"),
        ("format", 2, "is of format 2; this Assay reads 1"),
        ("versions.0.rows", "many", "is not evidence as Assay writes it"),
    ],
)
def test_what_contradicts_itself_is_said(file: Path, path: str, value: object, said: str) -> None:
    changes = [set_to(path, value)]
    if value == "v0":
        changes.append(set_to("versions.2.id", "v0"))

    def change(evidence: dict) -> None:
        for each in changes:
            each(evidence)

    shop.forge(file, document(change))
    try:
        problems = check(file).problems
    except UsageError as error:
        problems = (error.what,)
    assert any(said in problem for problem in problems), problems


@pytest.mark.long
def test_rows_that_are_others_are_found_even_by_a_new_manifest(file: Path) -> None:
    """Another file, with all SHA-256 put right: its rows do not have the recorded digest."""

    def forge(entries: dict[str, bytes]) -> None:
        import hashlib

        import polars as pl

        name = next(n for n in entries if n.startswith("data/sales.lines/"))
        out = io.BytesIO()
        pl.DataFrame({"x": [1, 2, 4], "half": [0.5, 1.0, 2.0]}).write_parquet(out)
        old = hashlib.sha256(entries[name]).hexdigest()
        evidence = entries["evidence.json"].decode()
        entries[name] = out.getvalue()
        evidence = evidence.replace(old, hashlib.sha256(out.getvalue()).hexdigest())
        entries["evidence.json"] = evidence.encode()
        shop.sealed(entries)

    shop.forge(file, forge)
    problems = "\n".join(check(file).problems)
    assert "its content digest is not that of its rows" in problems
    assert "the control total of x is 7, not 6" in problems


def entry(
    name: str, content: bytes = b"x", how: int = zipfile.ZIP_STORED
) -> Callable[[Path], None]:
    def add(file: Path) -> None:
        with zipfile.ZipFile(file, "a", how) as archive:
            archive.writestr(name, content)

    return add


def without(name: str) -> Callable[[Path], None]:
    return lambda file: shop.forge(file, lambda entries: entries.pop(name))


def lying(file: Path) -> None:
    """Say in the directory that an entry is far larger than it is."""
    content = bytearray(file.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    struct.pack_into("<II", content, place + 20, 2**31, 2**31)
    file.write_bytes(content)


def deep(file: Path) -> None:
    text = b'{"format": 1, "project": ' + b"[" * 200_000
    shop.forge(file, lambda entries: entries.update({"evidence.json": text}))


@pytest.mark.long
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (entry("../evil"), "is no path below a folder"),
        (entry("/evil"), "is no path below a folder"),
        (entry("a\\..\\evil"), "is no path below a folder"),
        (entry("C:/evil"), "is no path below a folder"),
        (entry("a//b"), "is no path below a folder"),
        (entry("evidence.json"), "two entries are called evidence.json"),
        (entry("bomb", b"0" * 10_000_000, zipfile.ZIP_DEFLATED), "is compressed"),
        (entry("extra"), "extra is not in MANIFEST"),
        (without("evidence.html"), "evidence.html is missing"),
        (without("evidence.json"), "there is no evidence.json in it"),
        (without("MANIFEST"), "there is no MANIFEST in it"),
        (lying, "its entries say that they are larger than the file"),
        (deep, "is not evidence as Assay writes it"),
        (lambda file: file.write_bytes(b"PK\x03\x04 no"), "is not a ZIP file"),
        (lambda file: file.write_bytes(b""), "is not a ZIP file"),
        (lambda file: file.unlink(), "cannot read"),
        (
            lambda file: shop.forge(file, lambda entries: entries.update(MANIFEST=b"\xff")),
            "MANIFEST is not UTF-8",
        ),
        (
            lambda file: shop.forge(file, lambda entries: entries.update(MANIFEST=b"no sum\n")),
            "MANIFEST:1: not a SHA-256 and a name",
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_could_do_harm_is_an_error(
    file: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(file)
    try:
        problems = check(file).problems
    except UsageError as error:
        problems = (error.what,)
    assert any(said in problem for problem in problems), problems
    assert not (file.parent.parent / "evil").exists()


@pytest.mark.long
def test_what_is_larger_than_may_be_read_at_once_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("assay.archive.read", fromlist=["_MOST"])._MOST, "evidence.json", 100
    )
    with opened(file) as archive, pytest.raises(UsageError, match="larger than 100 bytes"):
        archive.evidence()

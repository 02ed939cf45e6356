"""Version files: written once, whole, inside the store, read-only."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.errors import StoreError
from assay.facts import Part
from assay.store.files import LocalStorage
from assay.store.spill import drop_spilled


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def put(storage: LocalStorage, path: str, content: bytes) -> Part:
    storage.prepare(path).write_bytes(content)
    size, checksum, modified = storage.seal(path)
    return Part(path=path, rows=1, bytes=size, checksum=checksum, modified=modified)


def test_a_sealed_file_is_whole_and_read_only(storage: LocalStorage) -> None:
    part = put(storage, "d.p/r/data.parquet", b"abc")
    assert (part.bytes, part.checksum) == (3, hashlib.sha256(b"abc").hexdigest())
    assert storage.locate(part).read_bytes() == b"abc"
    assert storage.locate(part).stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("content", [b"ab", b"abcd", None])
def test_a_file_that_is_not_whole_is_told(storage: LocalStorage, content: bytes | None) -> None:
    part = put(storage, "d.p/r/data.parquet", b"abc")
    file = storage.root / part.path
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError, match=r"is missing|bytes, and 3 were written"):
        storage.locate(part)


@pytest.mark.parametrize("content", [b"ab", b"abcd", None])
def test_a_file_of_which_no_time_is_known_is_known_by_its_size(
    storage: LocalStorage, content: bytes | None
) -> None:
    part = replace(put(storage, "d.p/r/data.parquet", b"abc"), modified=0)
    file = storage.root / part.path
    file.unlink()
    file.write_bytes(b"xyz")
    assert storage.holds([part]), "the control: that is all that is known"
    file.unlink() if content is None else file.write_bytes(content)
    assert not storage.holds([part])


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd"])
def test_no_path_leads_out_of_the_store(storage: LocalStorage, path: str) -> None:
    for act in (storage.prepare, storage.seal, storage.remove):
        with pytest.raises(StoreError, match="not a path inside the store"):
            act(path)


def test_removing_leaves_no_empty_folders_and_no_harm(storage: LocalStorage) -> None:
    put(storage, "d.p/r1/data.parquet", b"a")
    kept = put(storage, "d.p/r2/data.parquet", b"b")
    storage.remove("d.p/r1")
    storage.remove("d.p/r9")
    storage.remove(kept.path, lambda: {kept.path})
    assert storage.locate(kept)
    storage.remove("d.p/r2")
    assert list(storage.root.iterdir()) == []


def test_room_is_made_while_others_remove_what_is_empty(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends removes the product's folder, just as this one is about to make its own below it."""
    real, left = os.mkdir, [3]

    def mkdir(path: str | Path, mode: int = 0o777) -> None:
        real(path, mode)
        if Path(path).name == "d.p" and left[0]:
            left[0] -= 1
            LocalStorage(storage.root).remove("d.p/of-another")

    monkeypatch.setattr(os, "mkdir", mkdir)
    put(storage, "d.p/r/data.parquet", b"abc")
    assert left == [0]


def test_folders_in_which_nothing_is_kept_go(storage: LocalStorage) -> None:
    kept = put(storage, "d.p/r/part-0/data.parquet", b"abc")
    storage.prepare("d.p/r/part-1/deep/data.parquet")
    storage.remove("d.p/r", lambda: {kept.path})
    assert [f.relative_to(storage.root).as_posix() for f in sorted(storage.root.rglob("*"))] == [
        "d.p",
        "d.p/r",
        "d.p/r/part-0",
        "d.p/r/part-0/data.parquet",
    ]


def test_what_the_dead_spilled_is_dropped(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    mine, other = (
        tmp_path / f"duckdb_temp_{pid}_0_storage_DEFAULT-0.tmp" for pid in (os.getpid(), dead.pid)
    )
    for file in (mine, other, tmp_path / "else"):
        file.touch()
    drop_spilled(tmp_path)
    drop_spilled(tmp_path / "nowhere")
    assert {file.name for file in tmp_path.iterdir()} == {mine.name, "else"}


def test_a_file_replaced_by_another_of_the_same_size_and_time_is_read_again(
    storage: LocalStorage,
) -> None:
    part = put(storage, "d.p/r/data.parquet", b"abc")
    file = storage.root / part.path
    assert storage.holds([part])
    for content, whole in ((b"abd", False), (b"abc", True), (b"abe", False)):
        other = file.with_name("other")
        other.write_bytes(content)
        os.utime(other, ns=(7, 7))
        other.replace(file)
        os.utime(file, ns=(7, 7))
        assert storage.holds([part]) == whole, content

"""Locks on files: they end with their process, and no process waits for ever."""

import os
from pathlib import Path

import pytest

from assay.errors import StoreError
from assay.store import locks


def test_a_file_that_is_removed_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real, removals = tmp_path / "lock", locks.create, [3]

    def create(path: Path, flags: int) -> int:
        descriptor = real(path, flags)
        if removals[0]:
            removals[0] -= 1
            path.unlink()
        return descriptor

    monkeypatch.setattr(locks, "create", create)
    descriptor = locks.lock(file, os.O_NOFOLLOW)
    with locks.abandoned(file) as dead:
        assert not dead
    os.close(descriptor)
    with locks.abandoned(file) as dead:
        assert dead


def test_a_file_that_is_always_removed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, created = locks.create, []

    def create(path: Path, flags: int) -> int:
        created.append(real(path, flags))
        path.unlink()
        return created[-1]

    monkeypatch.setattr(locks, "create", create)
    with pytest.raises(StoreError, match="removed each time it is created"):
        locks.lock(tmp_path / "lock", os.O_NOFOLLOW)
    assert len(created) == 100
    for descriptor in set(created):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

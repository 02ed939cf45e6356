"""What a text names in git, and what to do when it names nothing."""

import subprocess
from pathlib import Path

import pytest

from assay.declare.revision import commit_of, why_unknown
from tests.build.test_revisions import committed, git
from tests.conftest import Place


def test_a_commit_by_its_names(place: Place) -> None:
    commit = committed(place)
    git(place.root, "tag", "v1")
    for name in ("HEAD", "main", "v1", "refs/heads/main", commit.id, commit.short):
        found = commit_of(place.root, name)
        assert found and found.id == commit.id
    assert str(commit_of(place.root, "main")) == f"main ({commit.short})"
    assert str(commit_of(place.root, commit.id)) == commit.id


def cloned(place: Place, folders: pytest.TempPathFactory) -> Path:
    """Return the folder of a shallow clone."""
    clone = folders.mktemp("clone") / "repository"
    command = ["git", "clone", "-q", "--depth=1", f"file://{place.root}", str(clone)]
    subprocess.run(command, check=True)
    return clone


@pytest.mark.parametrize("name", ["", "nope", "--help", "main\0", "HEAD~1", "main:data", "-n"])
def test_no_commit(place: Place, name: str) -> None:
    committed(place)
    assert commit_of(place.root, name) is None


def test_what_to_do_without_a_repository(place: Place) -> None:
    assert commit_of(place.root, "main") is None
    assert "no repository here" in why_unknown(place.root, "main").what


def test_what_to_do_in_a_shallow_clone(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    committed(place)
    committed(place)
    clone = cloned(place, tmp_path_factory)
    shallow = Place(clone)
    assert commit_of(shallow.root, "HEAD~1") is None
    assert "git fetch --unshallow" in why_unknown(shallow.root, "HEAD~1").hint
    hint = why_unknown(shallow.root, "origin/work").hint
    assert "git fetch --depth=1 origin work:refs/remotes/origin/work" in hint


def test_the_fetch_that_is_named_fetches(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    committed(place)
    clone = cloned(place, tmp_path_factory)
    git(place.root, "checkout", "-q", "-b", "work")
    work = committed(place)
    hint = why_unknown(clone, "origin/work").hint
    git(clone, *hint.split("`")[1].split()[1:])
    found = commit_of(clone, "origin/work")
    assert found and found.id == work.id


def test_without_git(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.root))
    assert commit_of(place.root, "main") is None
    assert "git is not installed" in why_unknown(place.root, "main").what


def test_the_repository_that_a_hook_names_is_not_used(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = committed(place)
    monkeypatch.setenv("GIT_DIR", str(place.root / "nowhere"))
    found = commit_of(place.root, "main")
    assert found and found.id == commit.id

"""Who may read `.products` and not write to it: everything that only looks works."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import assay
from assay.catalog import open_catalog
from tests.conftest import Place

LOOKING = [
    ["query", "from p"],
    ["show", "p"],
    ["status"],
    ["ls"],
    ["history", "p"],
    ["plan"],
    ["why", "p"],
    ["lineage", "p"],
]


@contextmanager
def may_only_read(place: Place) -> Iterator[None]:
    """Be a user who may read everything of a project and write nothing."""
    for above in [place.root, *place.root.parents][:-2]:
        above.chmod(above.stat().st_mode | 0o555)
    for path in place.root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
        for path in place.root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


def files(place: Place) -> set[Path]:
    return {path for path in place.root.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def built(place: Place) -> Place:
    place.write(
        "products/sales.py",
        "sql_product('p', 'select sum(x)::bigint as x from numbers', owner='o')",
        header=True,
    )
    place.materialize()
    return place


def test_who_may_only_read_sees_what_is_published(built: Place) -> None:
    before = files(built)
    with may_only_read(built):
        for verb in LOOKING:
            ran = built.run(*verb)
            assert (ran.code, ran.err) == (0, ""), verb
        assert built.query("from p") == [{"x": 6}]
        assert assay.read("p", project=built.root).collect().rows() == [(6,)]
    assert files(built) == before, "nothing is left beside it"


def test_what_is_in_the_log_only_is_seen_too(built: Place) -> None:
    built.numbers("a", 9)
    writer = open_catalog(
        built.root / ".products/catalog.db"
    )  # while it is open the log is not put into the file
    built.materialize()
    assert (built.root / ".products/catalog.db-wal").stat().st_size
    with may_only_read(built):
        assert built.query("from p") == [{"x": 9}]
    writer.close()


def test_who_may_only_read_is_refused_clearly_where_something_is_written(built: Place) -> None:
    built.numbers("a", 9)
    with may_only_read(built):
        for verb in (["materialize"], ["gc"], ["restore", "--unpin"]):
            ran = built.run(*verb)
            assert ran.code in {1, 2} and "Traceback" not in ran.err, verb
        assert "may be read by this user, and not written to" in built.run("materialize").err

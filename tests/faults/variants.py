"""The controls: the same program with one protection taken out. Each must be caught by the same checker."""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any


def put(owner: Any, name: str, value: Any) -> None:
    """Replace what is there under a name: a name that nobody has would change nothing."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, value)


def commit_per_product() -> None:
    """Publish every product in a transaction of its own."""
    from assay.catalog import writes

    real = writes.move_pointer

    def move(writer: Any, environment: str, release: int, moved: Any) -> None:
        real(writer, environment, release, moved)
        writer.execute("commit")
        writer.execute("begin immediate")

    put(writes, "move_pointer", move)


def slowly() -> None:
    """Let time pass between one product's pointer and the next."""
    from assay.catalog import writes

    real = writes.move_pointer

    def move(writer: Any, environment: str, release: int, moved: Any) -> None:
        real(writer, environment, release, moved)
        time.sleep(0.05)

    put(writes, "move_pointer", move)


def no_intents() -> None:
    """Write without saying before where."""
    from assay.catalog.sqlite import Sqlite

    real = Sqlite.many
    put(
        Sqlite,
        "many",
        lambda self, sql, rows: None if "into intents" in sql else real(self, sql, rows),
    )


def no_flush() -> None:
    """Trust the machine to keep what was never flushed."""
    from assay.store.files import LocalStorage

    put(LocalStorage, "flush", lambda self, paths: None)


def record_before_writing() -> None:
    """Name files in the catalog before their bytes are in place."""
    from assay.build import recorder as records
    from assay.catalog import Catalog
    from assay.store.files import LocalStorage

    put(records, "_WORTH_RECORDING", 0.0)  # record one by one, so that what is judged is there
    late: list[Any] = []
    real_seal, real_record, real_parts = LocalStorage.seal, Catalog.record, Catalog.record_parts

    def seal(self: Any, path: str) -> tuple[int, str]:
        sealed = real_seal(self, path)
        full = self.paths.full(path)
        full.rename(f"{full}.late")
        late.append(full)
        return sealed

    def then(real: Callable[..., Any]) -> Callable[..., Any]:
        def record(self: Any, *given: Any, **named: Any) -> Any:
            recorded = real(self, *given, **named)
            while late:
                full = late.pop()
                full.with_name(f"{full.name}.late").rename(full)
            return recorded

        return record

    put(LocalStorage, "seal", seal)
    put(LocalStorage, "flush", lambda self, paths: None)
    put(Catalog, "record", then(real_record))
    put(Catalog, "record_parts", then(real_parts))


def forget_what_was_built() -> None:
    """Begin again after a crash: what was recorded and not published is not looked at."""
    from assay.catalog.facts import RecordedFacts

    real = RecordedFacts.find
    RecordedFacts.find = lambda self, product, key: (
        found
        if (found := real(self, product, key))
        and (p := self.pointer(product))
        and p.version == found.id
        else None
    )  # type: ignore[method-assign]


def full_catalog() -> None:
    """Not a control: no page more for the catalog, as on a disk that is full."""
    real = sqlite3.connect

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:
        opened = real(*given, **named)
        opened.execute("pragma max_page_count = 1")  # as many as there are
        return opened

    sqlite3.connect = connect  # type: ignore[assignment]


def set_back() -> None:
    """Not a control: the clock of this machine was set back by two days."""
    from assay.build import workspace

    class Back(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=2)

    put(workspace, "datetime", Back)


def no_grace() -> None:
    """Not a control: take for dead at once what has lost its server, which in tests has just been started."""
    from assay.catalog import postgres_runs

    put(postgres_runs, "GRACE", 0)


def small_heaps() -> None:
    """Not a control: let `gc` put together what the tests' project has, which is little."""
    from assay.build import compact as compaction

    put(compaction, "YOUNGEST", 1)
    put(compaction, "FEWEST", 3)


def few_share() -> None:
    """Not a control: let few parts share files, as very many do otherwise."""
    from assay.build import compact as compaction
    from assay.build import pack as packing
    from assay.build import tasks

    put(tasks, "MANY", 4)
    put(packing, "FEWEST", 2)
    put(compaction, "TOLERATED", 2)
    put(compaction, "FEWEST", 1)


def batches() -> None:
    """Not a control: let few parts be built in one query, two at a time."""
    from assay.build import batches as many

    put(many, "MANY", 4)
    put(many, "MOST_AT_ONCE", 2)


VARIANTS = {
    made.__name__: made
    for made in (
        commit_per_product,
        slowly,
        no_intents,
        no_flush,
        record_before_writing,
        forget_what_was_built,
        full_catalog,
        set_back,
        small_heaps,
        few_share,
        batches,
        no_grace,
    )
}

"""Builds one version: makes the product, as a whole or part by part, and seals what was written.

A product that follows its inputs is made once for each part that is not there yet; of one that is split by a column,
what was made as a whole is cut, and the parts that came out as before stay what they are.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.inspector import Inspector
from assay.build.recorder import Recorder
from assay.build.workers import Make, Workers
from assay.declare.resolve import Definition
from assay.engines.cut import Cut, cut, write
from assay.engines.damage import damage_reported
from assay.engines.duckdb import keyed
from assay.engines.measure import Stranger, measure
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles, Measured, StoredTable
from assay.errors import BuildError, SourceReplaced, is_of_the_machine
from assay.events import PART_NOTE, Unfinished
from assay.model import QUARANTINE, THIS, Column, Key, Part, Product, Version
from assay.plan.digests import digest, key_of
from assay.plan.holding import as_of_parts, unlike
from assay.plan.part_specs import PartSpec, PartSteps
from assay.plan.parts import NULL, coarsen
from assay.rules.quarantine import split
from assay.store.files import Storage

_NOT_TOLD = {"", "NULL", NULL}  # as the name of a folder, these would be no value
_LONGEST = 100  # letters of a value that may be the name of a folder


class BuildOrder(Struct, frozen=True, kw_only=True):
    """What is to be built: `feeds` gives what it, or one part of it, is made of, and `check` raises when that changed.

    `steps` are the parts of a product that follows its inputs, or those stored of a product that is cut into parts.
    `holds`: a part that cannot be built is held back alone, and the part of the version `before` stands in for it.
    `inherited` is the business time that the inputs reach, and `data_as_of` gives that of the inputs of one part.
    """

    product: Product
    key: Key
    run: str
    definition: Definition
    feeds: Callable[[PartSpec | None], Sequence[InputFiles]]
    check: Callable[[Sequence[InputFiles]], None]
    steps: PartSteps = PartSteps()
    inherited: datetime | None = None
    data_as_of: Callable[[PartSpec], datetime | None] = lambda _: None
    holds: bool = False
    before: Version | None = None

    @property
    def folder(self) -> str:
        """The folder of the store that everything goes below."""
        return f"{self.product.name}/{self.run}"


class Built(Struct, frozen=True, kw_only=True):
    """A version, and the parts (`unmade`) that could not be made and are held back alone, each with what was raised."""

    version: Version
    unmade: Mapping[str, Exception] = field(default_factory=dict)


class Builder(Struct, frozen=True, kw_only=True):
    """Where versions are built. `timer` returns seconds."""

    storage: Storage
    workers: Workers
    clock: Callable[[], datetime]
    timer: Callable[[], float]
    recorder: Recorder
    inspector: Inspector

    def build(self, order: BuildOrder) -> Built | Unfinished:
        """Write the files of a version. Raises whatever making it raises."""
        started = self.timer()
        try:
            if order.product.follows:
                return self._follow(order, started)
            return self._make(order, started)
        except BaseException:
            if not order.product.follows:  # parts that are done stay
                self._clear(order.folder)
            raise

    def _clear(self, folder: str) -> None:
        with suppress(OSError):
            self.storage.remove(folder)

    def _version(
        self, order: BuildOrder, started: float, parts: Sequence[Part], measured: Measured
    ) -> Version:
        files = {part.path: part.bytes for part in parts}
        return Version(
            id=f"v{uuid.uuid4().hex[:16]}",
            product=order.product.name,
            key=order.key,
            digest=measured.digest,
            columns=measured.columns,
            rows=measured.rows,
            bytes=sum(files.values()),
            built_at=self.clock(),
            seconds=round(self.timer() - started, 3),
            run=order.run,
            parts=tuple(parts),
            data_as_of=(measured.data_as_of if order.product.event_time else None)
            or order.inherited,
        )

    # ------------------------------------------------------------------------------------------ as a whole

    def _make(self, order: BuildOrder, started: float) -> Built:
        product, path = order.product, f"{order.folder}/{order.product.file or 'data.parquet'}"
        target, feeds = self.storage.prepare(path), order.feeds(None)
        with (
            self.workers.at(product, order.definition.recipe) as make,
            _as_observed(order, feeds),
            damage_reported(feed.table for feed in feeds),
        ):
            self.inspector.inspect(feeds)
            measured = make(feeds, target)
        if product.partition:
            return Built(version=self._cut(order, started, path, measured))
        files, rows_in = {"": (path, measured)}, None
        if product.quarantines:
            files, rows_in = self._set_aside(order, feeds, target, measured)
            measured = replace(files[""][1], digest=digest([of.digest for _, of in files.values()]))
        order.check(feeds)
        parts = [self._sealed(path, of, key=key) for key, (path, of) in files.items()]
        version = replace(self._version(order, started, parts, measured), rows_in=rows_in)
        return Built(version=version)

    def _sealed(self, path: str, measured: Measured, *, key: str = "") -> Part:
        size, checksum, modified = self.storage.seal(path)
        return Part(
            key=key,
            path=path,
            rows=measured.rows,
            bytes=size,
            checksum=checksum,
            modified=modified,
            digest=measured.digest,
        )

    def _set_aside(
        self, order: BuildOrder, feeds: Sequence[InputFiles], target: Path, measured: Measured
    ) -> tuple[dict[str, tuple[str, Measured]], int]:
        """Return the files of the rows that are kept, and of those set aside, and how many there were before."""
        product, engine = order.product, self.workers.engine
        tables = [feed for feed in feeds if feed.is_table]
        this = InputFiles(alias=THIS, name=THIS, table=StoredTable((target,)))
        with engine.bench([*tables, this], product.domain) as bench:
            done = split(product, target, measured.columns, bench, lambda: order.definition.schema)
        kept = measured if done.kept == target else measure(engine, done.kept, product.event_time)
        aside = measure(engine, done.aside)
        files = {
            "": (f"{order.folder}/{done.kept.name}", kept),
            QUARANTINE: (f"{order.folder}/{done.aside.name}", aside),
        }
        return files, done.rows

    def _cut(self, order: BuildOrder, started: float, path: str, measured: Measured) -> Version:
        """Cut what was made into parts; those that came out as they were before stay where they are."""
        partition, made = order.product.partition, self.storage.prepare(path)
        assert partition is not None
        found = cut(made, partition, measured, order.product.event_time, self.workers.engine)
        new = [piece for piece in found if _made_of(piece) not in order.steps.stored]
        order.check(order.feeds(None))
        parts = {
            piece.key: order.steps.stored[_made_of(piece)]
            for piece in found
            if _made_of(piece) in order.steps.stored
        }
        if new:
            aside = f"{order.folder}/parts.parquet"
            write(made, partition, new, self.storage.prepare(aside), self.workers.engine)
            size, checksum, modified = self.storage.seal(aside)
            start, of = 0, sum(piece.rows for piece in new)
            for piece in new:
                parts[piece.key] = Part(
                    key=piece.key,
                    path=aside,
                    rows=piece.rows,
                    bytes=size,
                    checksum=checksum,
                    start=start,
                    of=of,
                    made_of=_made_of(piece),
                    digest=piece.digest,
                    columns=piece.columns,
                    data_as_of=piece.data_as_of,
                    modified=modified,
                )
                start += piece.rows
        self.storage.remove(path)
        ordered = [parts[key] for key in sorted(parts)]
        return self._version(order, started, ordered, _altogether(ordered, measured.columns))

    # ------------------------------------------------------------------------------------------ part by part

    def _follow(self, order: BuildOrder, started: float) -> Built | Unfinished:
        made, unmade = self._parts(order)
        if order.holds:
            unmade |= _odd_ones(order.product, made)
        parts = [
            made[wanted.key]
            for wanted in order.steps.specs
            if wanted.key in made and wanted.key not in unmade
        ]
        if unmade and (len(parts) + len(unmade) < len(order.steps.specs) or not parts):
            raise next(iter(unmade.values()))
        if len(parts) + len(unmade) < len(order.steps.specs):
            return Unfinished(parts_made=len(parts), of=len(order.steps.specs))
        measured = _altogether(parts, _one_shape(order.product, parts))
        version = self._version(order, started, parts, measured)
        return Built(
            version=_stood_in(order, version, unmade) if unmade else version, unmade=unmade
        )

    def _parts(self, order: BuildOrder) -> tuple[dict[str, Part], dict[str, Exception]]:
        """Make the parts that are not there yet; return those that are there then, and why others could not be made."""
        made: dict[str, Part] = {}
        unmade: dict[str, Exception] = {}
        left = list(enumerate(order.steps.specs))[::-1]
        while left and not self.workers.stopping.is_set():  # what is done is kept
            with self.workers.at(order.product, order.definition.recipe) as make:
                while left and not self.workers.stopping.is_set():
                    index, wanted = left.pop()
                    part = order.steps.stored.get(wanted.made_of)
                    if part is None and order.steps.is_to_build(wanted):
                        try:
                            part = self._part(order, wanted, index, make)
                        except Exception as error:
                            if (
                                not order.holds
                                or self.workers.stopping.is_set()
                                or is_of_the_machine(error)
                            ):
                                raise
                            unmade[wanted.key] = error
                            break  # a process that hung or crashed is gone
                        self.recorder.part_built(order.product.name, part)
                    if part is not None:
                        made[wanted.key] = part
        return made, unmade

    def _own(
        self, product: Product, wanted: PartSpec, target: Path, measured: Measured
    ) -> Measured:
        """Drop the rows of the parts before, which were made of a window that is not theirs."""
        assert product.partition is not None
        [name], grain = product.partition.names, product.partition.grain
        column = next((c for c in measured.columns if c.name.lower() == name.lower()), None)
        if column is None:
            told = f"{product.name} sees parts before its own, and its rows do not say of which part they are"
            raise BuildError(told, hint=f"Give it a column {name}.", where=product.where)
        if not measured.strangers:
            return measured
        if odd := [f"{c.name} ({c.logical})" for c in measured.columns if c.logical]:
            raise BuildError(
                f"a part with {', '.join(odd)} cannot be told from those before",
                where=product.where,
            )
        grains = {i.alias: i.grain or "" for i in product.inputs if i.back}
        seen = {
            coarsen(k, grains[a], grain)
            for a, uses in wanted.uses.items()
            if a in grains
            for k in uses
        }
        before = ", ".join(literal(key) for key in sorted(seen - {wanted.key})) or "null"
        engine, window = self.workers.engine, target.with_name("window.parquet")
        target.rename(window)
        engine.copy_where(
            window,
            f"({keyed(identifier(column.name), grain, column.type)} in ({before})) is not true",
            target,
        )
        window.unlink()
        return measure(engine, target, product.event_time, stranger=_stranger(product, wanted))

    def _part(self, order: BuildOrder, wanted: PartSpec, index: int, make: Make) -> Part:
        """Make one part, and seal it."""
        started, product = self.timer(), order.product
        folder = f"{order.folder}/{_folder(product, wanted.key, index)}"
        target = self.storage.prepare(f"{folder}/data.parquet")
        try:
            feeds, told = order.feeds(wanted), _stranger(product, wanted)
            with _as_observed(order, feeds), damage_reported(feed.table for feed in feeds):
                self.inspector.inspect(feeds)
                measured = make(feeds, target, stranger=told)
            if any(i.back for i in product.inputs):
                measured = self._own(product, wanted, target, measured)
            if measured.strangers:
                assert told is not None
                raise BuildError(
                    f"{measured.strangers:,} rows of {product.name} that were made as {wanted.key} belong elsewhere: "
                    f"they say so by {told[0]}",
                    hint=f"Rows whose {told[0]} is null are of no part: leave them out, or write each= instead."
                    if wanted.key == NULL
                    else "A part holds rows of its own alone. Filter them, or follow no parts of that input.",
                    where=product.where,
                )
            order.check(feeds)
            sealed = self._sealed(f"{folder}/data.parquet", measured, key=wanted.key)
        except BaseException as error:
            self._clear(folder)
            if isinstance(error, Exception):
                error.add_note(f"{PART_NOTE}{wanted.key}.")
            raise
        return replace(
            sealed,
            made_of=wanted.made_of,
            inputs=wanted.inputs,
            columns=measured.columns,
            seconds=round(self.timer() - started, 3),
            data_as_of=measured.data_as_of or order.data_as_of(wanted),
        )


@contextmanager
def _as_observed(order: BuildOrder, feeds: Sequence[InputFiles]) -> Iterator[None]:
    """Let a failure be told as that of a file that was replaced, where one was: it may be why."""
    try:
        yield
    except Exception as error:
        try:
            with suppress(OSError):  # nobody can look; what failed says why
                order.check(feeds)
        except SourceReplaced as replaced:
            raise replaced from error
        raise


def _stranger(product: Product, wanted: PartSpec) -> Stranger | None:
    """Return the column that says which part a row is of, and the part that it should be of; None where none says."""
    partition = product.partition
    return (
        (partition.names[0], partition.grain, wanted.key)
        if partition and partition.in_rows
        else None
    )


def without(order: BuildOrder, version: Version, before: Version | None, now: datetime) -> Version:
    """Return a version in which the parts that are held give way to those that readers had before, if they had any."""
    old = {part.key: part for part in before.parts} if before else {}
    parts = [old.get(part.key) if part.key in order.key.held else part for part in version.parts]
    kept = [part for part in parts if part is not None]
    whole = _altogether(kept, version.columns)
    return replace(
        version,
        id=f"v{uuid.uuid4().hex[:16]}",
        key=order.key,
        digest=whole.digest,
        rows=whole.rows,
        parts=tuple(kept),
        bytes=sum({part.path: part.bytes for part in kept}.values()),
        built_at=now,
        seconds=0.0,
        run=order.run,
        data_as_of=as_of_parts(order.product, kept, version.data_as_of),
    )


def _stood_in(order: BuildOrder, version: Version, unmade: Mapping[str, Exception]) -> Version:
    """Return a version in which what readers had before stands in for the parts that could not be made, if anything."""
    old = (
        {part.key: part for part in order.before.parts}
        if order.before and order.before.in_parts
        else {}
    )
    if why := unlike(version, order.before, set(unmade)):
        error = next(iter(unmade.values()))
        error.add_note(f"Nothing of {order.product.name} goes out without it: {why}.")
        raise error
    held = {key: old[key].digest if key in old else "" for key in unmade}
    made = {part.key: part for part in version.parts}
    parts = [
        part
        for w in order.steps.specs
        if (part := old.get(w.key) if w.key in held else made[w.key])
    ]
    whole = _altogether(parts, version.columns)
    return replace(
        version,
        key=key_of(order.key.code, order.key.inputs, held, of=version.digest),
        digest=whole.digest,
        rows=whole.rows,
        parts=tuple(parts),
        bytes=sum({part.path: part.bytes for part in parts}.values()),
        data_as_of=as_of_parts(order.product, parts, version.data_as_of),
    )


def _odd_ones(product: Product, made: Mapping[str, Part]) -> dict[str, Exception]:
    """Return the parts that have other columns than most, with what is said of each."""
    if len({part.columns for part in made.values()}) < 2:
        return {}
    usual, _ = Counter(part.columns for part in made.values()).most_common(1)[0]
    like = next(part for part in made.values() if part.columns == usual)
    found: dict[str, Exception] = {}
    for key, part in made.items():
        try:
            _one_shape(product, [like, part])
        except BuildError as error:
            found[key] = error
    return found


def _altogether(parts: Sequence[Part], columns: Sequence[Column]) -> Measured:
    """Return what parts hold together."""
    times = [part.data_as_of for part in parts if part.data_as_of]
    return Measured(
        rows=sum(part.rows for part in parts),
        columns=tuple(columns),
        digest=digest([[part.key, part.digest] for part in parts]),
        data_as_of=max(times) if times else None,
    )


def _one_shape(product: Product, parts: Sequence[Part]) -> tuple[Column, ...]:
    """Return the columns that all parts have; BuildError when they differ."""
    if not parts:
        raise BuildError(
            f"{product.name} has no parts: none of its inputs has any", where=product.where
        )
    first = parts[0]
    for part in parts:
        if part.columns != first.columns:
            here, there = (
                {f"{c.name} {c.logical or c.type}" for c in p.columns} for p in (part, first)
            )
            only = "; ".join(
                f"{p.key} has {', '.join(sorted(some))}"
                for p, some in ((part, here - there), (first, there - here))
                if some
            )
            raise BuildError(
                f"the parts of {product.name} are not alike: {only or 'their columns are in another order'}",
                hint="Cast to one type, or declare a contract.",
                where=product.where,
            )
    return first.columns


def _made_of(piece: Cut) -> str:
    """Return what a part that was cut is made of: its content says all."""
    return digest(["cut", piece.key, piece.digest])


def _folder(product: Product, key: str, index: int) -> str:
    """Return the folder of a part: one that tells the value of the column that it is split by, where that is one."""
    partition = product.partition
    if partition and partition.in_rows and partition.grain in {"", "day"} and key not in _NOT_TOLD:
        name, value = partition.names[0], quote(key, safe="")
        if len(value) <= _LONGEST and name.isascii():
            return f"{name}={value}"
    return f"part-{index}"

"""Changes of a product, besides its columns, rules and freshness; and of a source."""

from collections.abc import Iterator

from assay.model import Access, Consumer, Dialect, Kind, Naming, Partition, Product, Source
from assay.plan.changes.fields import ASPECTS, DIALECT
from assay.plan.changes.values import Moved, Role, Way, moved, ranked


def product_changes(before: Product, now: Product) -> Iterator[Moved]:
    """Yield the changes of a product as a whole."""
    yield from _file(before, now)
    yield from _partition(before.partition, now.partition)
    yield from _group(before.release_group, now.release_group)
    yield from _event_time(before.event_time, now.event_time)
    if before.holds_parts is not now.holds_parts:
        words = "keep the whole version back", "are left out, and the others are published"
        way = Way.WEAKER if now.holds_parts else Way.STRONGER
        yield _moved("failed parts", way, f"parts that fail a rule {words[now.holds_parts]}")
    yield from _approval(before, now)
    yield from about_changes(before, now)
    yield from _consumers(before.consumers, now.consumers)


def key_changes(before: tuple[str, ...], now: tuple[str, ...]) -> Iterator[Moved]:
    """Yield how the key moved: one of fewer columns says more. `before` has the names of now."""
    if set(before) == set(now):
        return
    way = Way.OTHER
    if not now or (before and set(before) < set(now)):
        way = Way.WEAKER
    elif not before or set(now) < set(before):
        way = Way.STRONGER
    yield _moved("key", way, f"key {moved(', '.join(before), ', '.join(now))}")


def about_changes(before: Product | Source, now: Product | Source) -> Iterator[Moved]:
    """Yield the changes of who may read it, who owns it and what it is for."""
    open_to = [list(Access).index(product.access) for product in (before, now)]
    if way_in := ranked(*open_to, more=Way.STRONGER):
        yield _moved("access", way_in, f"access {moved(before.access, now.access)}")
    if before.owner != now.owner:
        yield _moved("owner", Way.OTHER, f"owner {moved(before.owner, now.owner)}")
    if before.purpose != now.purpose:
        yield _moved("purpose", Way.OTHER, "its purpose was put in other words")


def _file(before: Product, now: Product) -> Iterator[Moved]:
    was_file, is_file = (product.kind is Kind.FILE for product in (before, now))
    if was_file is not is_file:
        yield _moved("file", Way.OTHER, "a file now, no table" if is_file else "a table now")
    elif before.file != now.file:
        yield _moved("file", Way.OTHER, f"file {moved(before.file, now.file)}")


def _approval(before: Product, now: Product) -> Iterator[Moved]:
    """Yield how it changed who has to approve: weaker if fewer have to, or others may."""
    needed = [product.approvals if product.approvers else 0 for product in (before, now)]
    added = set(now.approvers) - set(before.approvers)
    if needed == [needed[1]] * 2 and set(before.approvers) == set(now.approvers):
        return
    way = Way.STRONGER
    if needed[1] < needed[0] or (needed[0] and added):
        way = Way.WEAKER
    words = moved(*(_approval_words(product) for product in (before, now)))
    yield _moved("approval", way, f"approval {words}")


def _approval_words(product: Product) -> str:
    if not product.approvers:
        return ""
    many = f"{product.approvals} of " if len(product.approvers) > 1 else ""
    return f"{many}{', '.join(product.approvers)}"


def _partition(before: Partition | None, now: Partition | None) -> Iterator[Moved]:
    if before != now:
        way = Way.STRONGER if before is None else Way.WEAKER if now is None else Way.OTHER
        words = moved(partition_words(before), partition_words(now))
        yield _moved("partition", way, f"parts {words}")


def partition_words(partition: Partition | None) -> str:
    """Return what splits a table, as declared; '' for nothing."""
    if partition is None:
        return ""
    names = ", ".join(partition.names)
    return f"{partition.grain}({names})" if partition.grain else names


def _group(before: str, now: str) -> Iterator[Moved]:
    if before != now:
        way = Way.STRONGER if not before else Way.WEAKER if not now else Way.OTHER
        yield _moved("release group", way, f"release group {moved(before, now)}")


def _event_time(before: str, now: str) -> Iterator[Moved]:
    if before != now:
        way = Way.STRONGER if not before else Way.WEAKER if not now else Way.OTHER
        yield _moved("event time", way, f"event time {moved(before, now)}")


def _consumers(before: tuple[Consumer, ...], now: tuple[Consumer, ...]) -> Iterator[Moved]:
    old, new = ({consumer.name: consumer.decides for consumer in each} for each in (before, now))
    for name, decides in old.items():
        if name not in new:
            yield _moved("consumer", Way.OTHER, f"consumer removed: {name}")
        elif new[name] != decides:
            what = f"{name} decides {moved(decides, new[name])}"
            yield _moved("consumer", Way.OTHER, what)
    for name in new:
        if name not in old:
            yield _moved("consumer", Way.OTHER, f"consumer added: {name}")


def source_changes(before: Source, now: Source) -> Iterator[Moved]:
    """Yield the changes of what a source demands of its files, besides columns and freshness."""
    for name, words in (("pattern", "files"), ("format", "format")):
        one, two = getattr(before, name), getattr(now, name)
        if one != two:
            yield _demand("files", Way.OTHER, f"{words} {moved(one, two)}")
    yield from _dialect(before.dialect, now.dialect)
    yield from _shapes(before, now)
    if before.partition != now.partition:
        words = moved(partition_words(before.partition), partition_words(now.partition))
        yield _demand("partition", Way.OTHER, f"parts {words}")
    if before.event_time != now.event_time:
        way = Way.WEAKER if not now.event_time else Way.STRONGER
        what = f"event time {moved(before.event_time, now.event_time)}"
        yield _demand("event time", way, what)
    yield from about_changes(before, now)


def _dialect(before: Dialect, now: Dialect) -> Iterator[Moved]:
    """Yield the changes of how the text of files is read."""
    for name in DIALECT:
        one, two = getattr(before, name), getattr(now, name)
        if one != two:
            yield _demand("files", Way.OTHER, f"{name} {moved(_plain(one), _plain(two))}")
    gone = [text for text in before.null_values if text not in now.null_values]
    new = [text for text in now.null_values if text not in before.null_values]
    if gone or new:
        way = Way.OTHER if gone and new else Way.STRONGER if gone else Way.WEAKER
        words = moved(_quoted(before.null_values), _quoted(now.null_values))
        yield _demand("null values", way, f"read as missing: {words}")


def _shapes(before: Source, now: Source) -> Iterator[Moved]:
    """Yield the changes of which files have which columns, by which names, and in which layout."""
    old, new = ({n.column: n for n in each.namings} for each in (before, now))
    for column in sorted(old.keys() | new.keys()):
        if old.get(column) != new.get(column):
            words = moved(*(_named(each.get(column)) for each in (old, new)))
            yield _demand("files", Way.OTHER, f"column {column} in files: {words}")
    for column in sorted({*before.optional} ^ {*now.optional}):
        way = Way.WEAKER if column in now.optional else Way.STRONGER
        words = "may be missing" if column in now.optional else "has to be there"
        yield _demand("files", way, f"column {column} in files: {words}")
    if before.layouts != now.layouts:
        counts = moved(str(len(before.layouts)), str(len(now.layouts)))
        words = counts if len(before.layouts) != len(now.layouts) else "changed"
        yield _demand("files", Way.OTHER, f"layouts of files: {words}")


def _named(naming: Naming | None) -> str:
    """Return the names of a column in files, by day; '' for its own name in all."""
    names = naming.names if naming else ()
    return ", ".join(
        f"{name or 'not there'}{f' since {day}' if day else ''}" for day, name in names
    )


def _plain(value: object) -> str:
    """Return a value of a dialect as text; '' for none."""
    if isinstance(value, tuple):
        return ", ".join(": ".join(v) if isinstance(v, tuple) else str(v) for v in value)
    return str(value)


def _quoted(texts: tuple[str, ...]) -> str:
    return ", ".join(map(repr, texts))


def _moved(aspect: str, way: Way, what: str) -> Moved:
    return Moved(aspect=aspect, role=ASPECTS[aspect], way=way, what=what)


def _demand(aspect: str, way: Way, what: str) -> Moved:
    return Moved(aspect=aspect, role=Role.DEMAND, way=way, what=what)

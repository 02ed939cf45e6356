"""Columns of a source that the paths of its files tell."""

from assay.engines.feed import Feed
from assay.engines.quoting import identifier, literal


def by_path(feed: Feed) -> str:
    """Return what the path of each file tells, as further columns of a select list."""
    source = feed.source
    assert source is not None
    regex = literal(feed.path_regex)
    return "".join(
        f", cast(regexp_extract(__file, {regex}, {index}) as {column.type}) as {identifier(column.name)}"
        for column, index in source.told_by_path
    )

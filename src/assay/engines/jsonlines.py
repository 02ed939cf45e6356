"""JSON lines, as queries read them: each declared column, by its key, as exactly its declared type."""

from assay.engines.feed import Feed
from assay.engines.quoting import literal, source_files
from assay.engines.textual import read_as, typed


def select(feed: Feed) -> str:
    """Return the query that reads JSON lines of a source."""
    assert feed.source is not None
    spec = ", ".join(f"{literal(c.name)}: {literal(read_as(c))}" for c in feed.source.columns)
    options = f"format = 'newline_delimited', filename = '__file', hive_partitioning = false, columns = {{{spec}}}"
    return f"select {typed(feed)} from read_json({source_files(feed.files)}, {options})"

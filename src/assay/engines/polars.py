"""Polars: scans inputs lazily, streams results to Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.engines.feed import Feed, by_header
from assay.engines.types import casts, from_polars, to_polars

if TYPE_CHECKING:
    import polars as pl


def scan(feed: Feed) -> "pl.LazyFrame":
    """Return an input as a LazyFrame: columns as declared for a source, as stored for a product."""
    import polars as pl

    if feed.source is None:
        return pl.scan_parquet(list(feed.files), glob=False)
    columns = {c.name: to_polars(c.type) for c in feed.source.columns}
    match feed.source.format:
        case "csv":
            frames = [_scan_csv(feed, files, columns) for files in by_header(feed.source, feed.files).values()]
            return pl.concat(frames) if len(frames) > 1 else frames[0]
        case _:
            frame = pl.scan_parquet(list(feed.files), glob=False)
            return frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def _scan_csv(feed: Feed, files: list[Path], columns: Mapping[str, Any]) -> "pl.LazyFrame":
    import polars as pl

    assert feed.source is not None
    frame = pl.scan_csv(
        files,
        schema_overrides=columns,
        infer_schema=False,
        separator=feed.source.delimiter,
        null_values=list(feed.source.null_values) or None,
        glob=False,
    )
    return frame.select(list(columns))


def stage(frame: "pl.LazyFrame", target: Path, want: Mapping[str, str]) -> None:
    """Write a LazyFrame to one Parquet file (zstd), in the contract's types where the cast is exact."""
    import polars as pl

    have = {name: from_polars(dtype) or str(dtype) for name, dtype in frame.collect_schema().items()}
    changed = casts(have, want)
    if changed:
        frame = frame.with_columns(pl.col(name).cast(to_polars(type)) for name, type in changed.items())
    frame.sink_parquet(target, compression="zstd")

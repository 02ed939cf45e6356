"""Views of a source, of a product that is a file, and of a copy: what `products show` prints."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from assay.engines.tables import StoredTable
from assay.facts import SourceState, Version
from assay.model import Source
from assay.views.columns import DeclaredColumn, declared_columns
from assay.views.sources import SourceStatusView
from assay.views.view import View


class SourceView(View, frozen=True, kw_only=True):
    """A source: its files, their total size, and the business time that they reach.

    `missing` says why it cannot be read, or is ''. `state` and `because` are those of its status.
    `rows` are its first.
    """

    source: str
    kind: str
    pattern: str
    files: tuple[str, ...]
    bytes: int
    data_as_of: datetime | None
    missing: str
    columns: tuple[DeclaredColumn, ...]
    state: str
    because: str
    rows: tuple[Mapping[str, Any], ...] = ()


class FileView(View, frozen=True, kw_only=True):
    """A version of a product that is a file."""

    product: str
    version: str
    file: str
    bytes: int


class CopyView(View, frozen=True, kw_only=True):
    """A version that was copied to a file."""

    product: str
    version: str
    file: str


def source_view(
    source: Source,
    state: SourceState,
    data_as_of: datetime | None,
    status: SourceStatusView | None = None,
) -> SourceView:
    """Return the view of a source as it was observed, and how far its data reaches.

    `status` says whether a run has read it as it is.
    """
    return SourceView(
        source=source.name,
        kind="file" if source.is_file else source.format,
        pattern=source.pattern,
        files=tuple(file.path for file in state.files),
        bytes=sum(file.size for file in state.files),
        data_as_of=data_as_of,
        missing=state.missing,
        columns=declared_columns(source.columns),
        state=status.state if status else "",
        because=status.because if status else "",
    )


def file_view(version: Version, stored: StoredTable) -> FileView:
    """Return the view of a version that is stored as one file."""
    return FileView(
        product=version.product,
        version=version.id,
        file=str(stored.files[0]),
        bytes=version.bytes,
    )

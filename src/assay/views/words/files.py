"""What a person reads of a source, of a product that is a file, and of a copy."""

from collections.abc import Iterable, Iterator

from assay.facts import short
from assay.views.columns import DeclaredColumn
from assay.views.files import CopyView, FileView, SourceView
from assay.views.words.numbers import count_of, day


def file_lines(view: SourceView | FileView | CopyView) -> Iterator[str]:
    """Yield the lines for a source, a file or a copy."""
    match view:
        case SourceView():
            yield f"  {_source(view)}"
            yield from column_lines(view.columns)
        case FileView(product=product, version=version):
            yield f"  {product} {short(version)}: {view.bytes:,} bytes at {view.file}"
        case CopyView(product=product, version=version):
            yield f"  copied  {product} {short(version)} to {view.file}"


def column_lines(columns: Iterable[DeclaredColumn], description: str = "") -> Iterator[str]:
    """Yield a line of what the rows are, if that is declared, and one for each described column."""
    if description:
        yield f"  {description}"
    described = {column.name: column.description for column in columns if column.description}
    width = max(map(len, described), default=0)
    for name, text in described.items():
        yield f"    {name:{width}}  {text}"


def _source(view: SourceView) -> str:
    if view.missing:
        return view.missing
    as_of = f", as of {day(view.data_as_of)}" if view.data_as_of else ""
    size = f"{view.bytes:,} bytes{as_of}"
    if view.kind == "file":
        advice = "a function that names it takes it as a pathlib.Path"
        where = f"{view.bytes:,} bytes at {view.files[0]}{as_of}"
        return f"{view.source}: {where}, a file: {advice}"
    size += f"; {view.because}" if view.because else ""
    count = count_of(len(view.files), "file")
    return f"{view.source}: a source, {count} matching {view.pattern} ({view.kind}), {size}"

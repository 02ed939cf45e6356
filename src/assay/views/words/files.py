"""What a person reads of a source, of a product that is a file, and of a copy: one line each."""

from assay.facts import short
from assay.views.files import CopyView, FileView, SourceView
from assay.views.words.numbers import count_of, day


def file_line(view: SourceView | FileView | CopyView) -> str:
    """Return the line for a source, a file or a copy."""
    match view:
        case SourceView():
            return f"  {_source(view)}"
        case FileView(product=product, version=version):
            return f"  {product} {short(version)}: {view.bytes:,} bytes at {view.file}"
        case CopyView(product=product, version=version):
            return f"  copied  {product} {short(version)} to {view.file}"


def _source(view: SourceView) -> str:
    if view.missing:
        return view.missing
    as_of = f", as of {day(view.data_as_of)}" if view.data_as_of else ""
    size = f"{view.bytes:,} bytes{as_of}"
    if view.kind == "file":
        advice = "a function that names it takes it as a pathlib.Path"
        where = f"{view.bytes:,} bytes at {view.files[0]}{as_of}"
        return f"{view.source}: {where}, a file: {advice}"
    count = count_of(len(view.files), "file")
    return f"{view.source}: a source, {count} matching {view.pattern} ({view.kind}), {size}"

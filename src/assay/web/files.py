"""Writes all pages as files, for any web server."""

from collections.abc import Collection
from pathlib import Path

from assay.build.workspace import Workspace
from assay.errors import UsageError
from assay.views.column_lineage import lineage_around
from assay.views.view import View
from assay.web.contracts import contract_of
from assay.web.links import Links, place
from assay.web.look import Look
from assay.web.rendering import FOLDER, rendered
from assay.web.site import all_pages

_STATIC = ("icon.svg", "style.css")
MARK = ".assay-pages"  # a file that says that the folder was written by us


class Written(View, frozen=True, kw_only=True):
    """The folder that the pages are in, how many there are, and how many of before were removed."""

    folder: str
    pages: int
    removed: int


def write_pages(look: Look, workspace: Workspace, folder: Path) -> Written:
    """Write every page below a folder, and remove those of before that are no longer there.

    Raises UsageError for a folder that has something else in it, or cannot be written.
    """
    links = Links(suffix=".html")
    try:
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text("")
        written = {MARK}
        lineage = lineage_around(workspace, [*look.graph.products, *look.graph.sources])
        for page in all_pages(look, workspace.catalog, lineage):
            name = f"{page.path}.html"
            _write(folder / name, rendered(page, look, links))
            written.add(name)
        for product in look.graph.products:
            name = f"{place('contract', product)}.json"
            _write(folder / name, contract_of(look, workspace.catalog, product))
            written.add(name)
        for name in _STATIC:
            _write(folder / "static" / name, (FOLDER / "static" / name).read_text())
            written.add(f"static/{name}")
        return Written(
            folder=str(folder),
            pages=sum(name.endswith(".html") for name in written),
            removed=_remove_others(folder, written),
        )
    except OSError as error:
        raise UsageError(
            f"the pages cannot be written to {folder}: {error.strerror}",
            hint="Choose another --to.",
        ) from None


def check_folder(folder: Path) -> None:
    """Raise UsageError if a folder is there that was not written by us, and is not empty."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="--to names a folder for the pages.")
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} has files that are no pages of Assay",
            hint="Name an empty folder, or one that does not exist yet: pages of before are replaced.",
        )


def _write(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all; leave it alone if it is the same."""
    data = text.encode("utf-8", "backslashreplace")
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def _remove_others(folder: Path, written: Collection[str]) -> int:
    """Remove pages and contracts that were not written now; return how many."""
    removed = 0
    for path in [*folder.glob("**/*.html"), *folder.glob("contract/*.json")]:
        if str(path.relative_to(folder)) not in written:
            path.unlink()
            removed += 1
    return removed

"""What Python shows in a notebook as on the web: a difference, a record, the page of a product or source."""

import re
from pathlib import Path

from assay.errors import UsageError
from assay.plan.names import full_name, nearest
from assay.views.column_lineage import lineage_around
from assay.views.diff import diff
from assay.views.diff_views import DiffView
from assay.views.record import RecordView, record
from assay.views.showing import shown_by
from assay.web.diffs import page_of_diff
from assay.web.links import Links
from assay.web.look import Look, looking
from assay.web.pages import others, product
from assay.web.records import page_of_record
from assay.web.rendering import FOLDER, Page, rendered

__all__ = ["PageView", "diff", "page", "record"]

_NOWHERE = re.compile(r' (?:href|id|aria-labelledby)="[^"]*"')  # addresses and places of a page


class PageView:
    """The page of a product or source, which shows itself in a notebook; as text, what it says now."""

    def __init__(self, html: str, text: str) -> None:
        self.html, self.text = html, text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def page(name: str, *, env: str | None = None, project: Path | str | None = None) -> PageView:
    """Return the page of a product or source, as `products serve` shows it.

    `project` is a folder in the project (by default the working directory). Raises UsageError for a
    name that is not declared.
    """
    with looking(env, start=Path(project) if project else None) as (look, workspace):
        graph = look.graph
        names = [*graph.products, *graph.sources]
        full = full_name(name, names)
        if not full:
            raise UsageError(f"there is no product or source {name!r}", hint=nearest(name, names))
        lineage = lineage_around(workspace, [full, *graph.below.get(full, ())])
        if full in graph.products:
            found = product.product_page(look, workspace.catalog, full, lineage)
            now = found.values["now"]
            text = " ".join([f"{full} ({now.word}):", now.readers, *now.trouble])
        else:
            found = others.source_page(look, workspace.catalog, full, lineage)
            text = f"{full}: a source"
        return PageView(standing_alone(found, look), text)


def standing_alone(page: Page, look: Look | None = None) -> str:
    """Return a page as HTML to put into another document: with its styles, and without links."""
    styles = nested((FOLDER / "static" / "style.css").read_text())
    html = rendered(page, look, Links(suffix=".html"), layout="bare.html", styles=styles)
    return _NOWHERE.sub("", html)


def nested(styles: str) -> str:
    """Return a style sheet that is about what is inside an element of the class `assay` alone."""
    inside = re.sub(r"(?m)^(\s*)(?::root|html|body) \{", r"\1& {", styles)
    return f".assay {{\n{inside}}}\n"


def _diff_html(view: DiffView) -> str:
    return standing_alone(page_of_diff(view))


def _record_html(view: RecordView) -> str:
    return standing_alone(page_of_record(view))


shown_by(DiffView, _diff_html)
shown_by(RecordView, _record_html)

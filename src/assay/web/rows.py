"""The first rows of a published product, without the values of sensitive columns."""

from assay.build.evidence import never_shown
from assay.build.inputs import inputs_as_of_now
from assay.catalog import Catalog
from assay.model import Access
from assay.sensitive import secret
from assay.views.published import table_of
from assay.views.query import first_rows
from assay.web.look import Look, product_at, workspace_of
from assay.web.rendering import Page

_ROWS = 20


def rows_of(look: Look, catalog: Catalog, name: str, *, as_part: bool) -> Page | None:
    """Return the page with the first rows of a product, or as a part of a page.

    None for a product that is not published, is a file, or is not public.
    """
    full = product_at(look, name)
    pointer = look.pointers.get(full) if full else None
    if full is None or pointer is None or look.graph.products[full].access is not Access.PUBLIC:
        return None
    version = catalog.version(pointer.version)
    if not version.columns:
        return None
    with workspace_of(look) as workspace:
        stored = table_of(version, workspace.storage)
        patterns = look.graph.sensitive(full)
        if patterns:
            inputs, _ = inputs_as_of_now(workspace, workspace.observe(), [full])
            patterns = never_shown(inputs, look.graph.products[full], stored)
        hidden = secret([column.name for column in version.columns], patterns)
        names, rows = first_rows(stored, _ROWS, look.config, sorted(hidden))
    return Page(
        path=f"rows/{full}",
        title=f"First rows of {full}",
        template="rows.html" if as_part else "rows_page.html",
        values={"product": full, "names": names, "rows": rows},
    )

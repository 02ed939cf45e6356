"""Where the columns of a product come from: worked out when somebody asks for it."""

from assay.views.column_lineage import lineage_around
from assay.web.links import place
from assay.web.look import Look, at, product_at, workspace_of
from assay.web.pages.columns import flow_values
from assay.web.rendering import Page


def columns_of(look: Look, name: str, *, as_part: bool) -> Page | None:
    """Return the page of the lineage of columns, one step up and down, or as a part of a page.

    None for what is not declared.
    """
    full = product_at(look, name) or at(look.graph.sources, name)
    if full is None:
        return None
    with workspace_of(look) as workspace:
        lineage = lineage_around(workspace, [full, *look.graph.below.get(full, ())])
    return Page(
        path=place("columns", full),
        title=f"Columns of {full}",
        template="columns.html" if as_part else "columns_page.html",
        values={"name": full, **flow_values(lineage, full)},
    )

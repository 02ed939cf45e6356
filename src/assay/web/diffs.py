"""What differs between two versions of a product: worked out when somebody asks for it."""

from collections.abc import Mapping

from assay.build.compared_columns import DiffOptions
from assay.model import Access
from assay.views.diff import diffs
from assay.views.diff_views import DiffView
from assay.views.words.diff import summary
from assay.views.words.figures import total_text
from assay.web.links import place
from assay.web.look import Look, product_at, workspace_of
from assay.web.rendering import Page

_ROWS = 50


def diff_page(look: Look, name: str, before: str, after: str) -> Page | None:
    """Return the page of what differs between two versions, as `products diff` names them.

    None for a product that is not declared, or not public. Raises UsageError for versions that are
    not there.
    """
    full = product_at(look, name)
    if full is None or look.graph.products[full].access is not Access.PUBLIC:
        return None
    with workspace_of(look) as workspace:
        options = DiffOptions(limit=_ROWS)
        view = diffs(workspace, [full], before, after, options).views[0]
    return page_of_diff(view)


def page_of_diff(view: DiffView) -> Page:
    """Return the page of a difference."""
    names = list(dict.fromkeys(name for row in view.rows for name in (*row.before, *row.after)))
    return Page(
        path=place("diff", view.product),
        title=f"What changed in {view.product}",
        template="diff.html",
        values={
            "diff": view,
            "summary": summary(view),
            "totals": [total_text(total) for total in view.totals],
            "groups": [(total.group, total_text(total)) for total in view.groups],
            "keys": list(view.rows[0].key) if view.rows else [],
            "names": names,
        },
    )


def sides(query: Mapping[str, str]) -> tuple[str, str]:
    """Return which versions an address asks for; by default what changed last."""
    return query.get("before", "previous")[:100], query.get("after", "published")[:100]

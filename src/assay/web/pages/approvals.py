"""The page of approvals (what awaits whom, and what was decided) and that of environments."""

from assay.catalog import Catalog
from assay.views.approvals import listed
from assay.views.environments import environments
from assay.web.look import Look
from assay.web.rendering import Page

_AWAITING, _DECIDED = 50, 100  # that the page lists


def approvals_page(look: Look) -> Page:
    """Return the page of approvals: what awaits whom, and what was approved, by whom and why."""
    awaiting, decided = look.approvals.awaiting, listed(look.approvals.approvals)
    return Page(
        path="approvals",
        title="Approvals",
        template="approvals.html",
        values={
            "awaiting": awaiting[:_AWAITING],
            "more_awaiting": max(0, len(awaiting) - _AWAITING),
            "decided": decided[:_DECIDED],
            "more_decided": max(0, len(decided) - _DECIDED),
        },
    )


def environments_page(look: Look, catalog: Catalog) -> Page:
    """Return the page of environments: where each comes from, and what it publishes."""
    return Page(
        path="environments",
        title="Environments",
        template="environments.html",
        values={"environments": environments(catalog, look.config.environment)},
    )

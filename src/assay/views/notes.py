"""What readers of a published product have to know: parts held back, rules waived, rows restated."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from assay.build.workspace import utc_now
from assay.catalog import Catalog, shared_catalog
from assay.catalog.differences import figures_to
from assay.config import find_config
from assay.facts import Verdict
from assay.plan.waivers import waived_rules, waivers_of
from assay.views.figures import figures_view
from assay.views.published import AsOf, held_back, published
from assay.views.words.figures import totals_text


def notes(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> tuple[str, ...]:
    """Return what readers of a published product have to know, in words; () if there is nothing.

    These are parts that are held back, rules that fail and are waived, and rows that were restated.
    Takes what `assay.read` takes. Raises UsageError for a name that is not published.
    """
    config = find_config(Path(project) if project else Path.cwd())
    environment = env or config.environment
    version = published(config, environment, as_of, [name]).version(name)
    with closing(shared_catalog(config)) as catalog:
        verdicts = catalog.verdicts(version.id, environment)[:1]
        over = waivers_over(catalog, verdicts, utc_now())
        figures = figures_to(catalog.database, version.id)
    found = [held_back(version)]
    for verdict in verdicts:
        found += waived_rules(verdict, over)
        if verdict.restated:
            found.append(f"restated: {verdict.restated}")
            found += [totals_text(figures_view(figures, ()), "changed")] if figures else []
    return tuple(filter(None, found))


def waivers_over(catalog: Catalog, verdicts: Iterable[Verdict], now: datetime) -> Mapping[str, str]:
    """Return how the recorded waivers ended that let these through, by id, of those that are over."""
    if not any(map(waivers_of, verdicts)):
        return {}
    return {w.id: w.how_it_ended for w in catalog.waivers() if w.is_over(now)}

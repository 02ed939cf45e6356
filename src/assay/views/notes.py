"""What readers of a published product have to know: parts held back, rules waived, rows restated."""

from contextlib import closing
from pathlib import Path

from assay.catalog import shared_catalog
from assay.config import find_config
from assay.plan.waivers import waived_rules
from assay.views.read import AsOf, held_back, published


def notes(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> tuple[str, ...]:
    """Return what readers of a published product have to know, in words; () if there is nothing.

    These are parts that are held back, rules that fail and are waived, and rows that were restated.
    Takes what `assay.read` takes. Raises UsageError for a name that is not published.
    """
    config = find_config(Path(project) if project else Path.cwd())
    environment = env or config.environment
    version = published(config, environment, as_of, name).version(name)
    with closing(shared_catalog(config)) as catalog:
        verdicts = catalog.verdicts(version.id, environment)
    found = [held_back(version)]
    for verdict in verdicts[:1]:
        found += waived_rules(verdict)
        found.append(f"restated: {verdict.restated}" if verdict.restated else "")
    return tuple(filter(None, found))

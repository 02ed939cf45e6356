"""The pages of sources, rules, owners, consumers, domains, incidents, runs and releases."""

from collections.abc import Sequence

from assay.catalog import Catalog
from assay.catalog.releases import ReleaseHead, release_with, releases_of_run
from assay.model import Product, Rule
from assay.plan.flows import Lineage
from assay.views.describe import described
from assay.views.files import source_view
from assay.views.incidents import IncidentView
from assay.views.rules import history_of_rules
from assay.views.runs import RunView, came_out, runs_of
from assay.web.lineage import drawn
from assay.web.links import place
from assay.web.look import Look
from assay.web.pages.columns import column_values, flow_values
from assay.web.pages.lists import listed_as, listing, stored_as
from assay.web.pages.product import PLOTTED, promise_days, rule_rows, rules_now
from assay.web.plots import plotted
from assay.web.rendering import Page

RUNS = 100
MOVED = 200  # products that the page of a release lists
_RELEASES, _MOVES = 50, 20  # that the page of a run lists, and products of each
_RULES, _USES, _INCIDENTS = 100, 100, 100
_FILES = 50  # files of a source that a page lists


def source_page(look: Look, catalog: Catalog, name: str, lineage: Lineage | None = None) -> Page:
    """Return the page of a source: where it comes from, what is there, who reads it."""
    source, state = look.graph.sources[name], look.sources[name]
    stored = stored_as(look, name)
    view = source_view(source, state, look.reaches.get(name))
    return Page(
        path=place("source", name),
        title=name,
        template="source.html",
        values={
            "source": source,
            "view": view,
            "files": view.files[-_FILES:],
            "promise": look.promises.get(name),
            "promises": promise_days(look, catalog, name),
            "incidents": [incident for incident in look.incidents if incident.about == name],
            "readers": list(look.graph.below.get(name, ())),
            "stored_as": stored,
            "rules": rule_rows(look, catalog, look.graph.products[stored])[:_RULES]
            if stored
            else [],
            "drawing": drawn(look.graph, name),
            **flow_values(lineage, name),
            **column_values(described(look.graph, name, None)),
        },
    )


def rule_name(product: Product, rule: Rule) -> str:
    """Return the name of the page of a rule."""
    return f"{product.name} {rule.text}"


def rule_page(look: Look, catalog: Catalog, product: Product, rule: Rule) -> Page:
    """Return the page of a rule: what it asks, and its results over time."""
    history = history_of_rules(catalog, product, look.environment, PLOTTED).get(rule.text, [])
    return Page(
        path=place("rule", rule_name(product, rule)),
        title=rule.text,
        template="rule.html",
        values={
            "product": product,
            "rule": rule,
            "history": history[::-1],
            "plot": plotted(rule, history),
            "now": next((r for r in rules_now(look, product.name) if r.text == rule.text), None),
        },
    )


def owner_page(look: Look, owner: str) -> Page:
    """Return the page of an owner: everything that they answer for."""
    owned = [each for each in look.all_declared() if each.owner == owner]
    rules = [
        (product, rule)
        for product in look.graph.products.values()
        for rule in product.contract.rules
        if rule.owner == owner
    ]
    return Page(
        path=place("owner", owner),
        title=owner,
        template="owner.html",
        values={
            "owner": owner,
            "listing": listing(look, owner, owned),
            "rules": rules[:_RULES],
            "more_rules": max(0, len(rules) - _RULES),
        },
    )


def consumer_page(look: Look, name: str) -> Page:
    """Return the page of a consumer: what they decide, and from which products."""
    uses = look.consumers()[name]
    return Page(
        path=place("consumer", name),
        title=name,
        template="consumer.html",
        values={
            "consumer": name,
            "contact": next((c.contact for _, c in uses if c.contact), ""),
            "uses": [(listed_as(look, p), consumer.decides) for p, consumer in uses[:_USES]],
            "more": max(0, len(uses) - _USES),
        },
    )


def domain_page(look: Look, domain: str) -> Page:
    """Return the page of a domain: its products and sources."""
    inside = [each for each in look.all_declared() if each.domain == domain]
    return Page(
        path=place("domain", domain),
        title=domain,
        template="list.html",
        values={"listing": listing(look, f"Domain {domain}", inside), "filters": None},
    )


def incident_page(look: Look, incident: IncidentView) -> Page:
    """Return the page of an incident: what was wrong, and who was told when."""
    return Page(
        path=place("incident", incident.id),
        title=f"Incident {incident.id}: {incident.about}",
        template="incident.html",
        values={"incident": incident, "declared": look.declared(incident.about)},
    )


def incidents_page(look: Look) -> Page:
    """Return the list of incidents."""
    return Page(
        path="incidents",
        title="Incidents",
        template="incidents.html",
        values={
            "incidents": look.incidents[:_INCIDENTS],
            "more": max(0, len(look.incidents) - _INCIDENTS),
        },
    )


def runs_page(look: Look, runs: Sequence[RunView]) -> Page:
    """Return the list of runs."""
    return Page(
        path="runs",
        title="Runs",
        template="runs.html",
        values={"runs": [(run, came_out(run)) for run in runs]},
    )


def last_runs(look: Look, catalog: Catalog) -> list[RunView]:
    """Return the last runs, newest first."""
    return runs_of(catalog, look.environment, RUNS)


def run_page(look: Look, catalog: Catalog, run: RunView) -> Page:
    """Return the page of a run: how it came out, and what it published."""
    return Page(
        path=place("run", run.run),
        title=f"Run of {run.started_at:%Y-%m-%d %H:%M} UTC",
        template="run.html",
        values={
            "run": run,
            "came_out": came_out(run),
            "releases": releases_of_run(catalog.database, run.run, _RELEASES, moves=_MOVES),
        },
    )


def release_page(look: Look, release: ReleaseHead) -> Page:
    """Return the page of a release: the products whose published version it changed."""
    return Page(
        path=place("release", release.id),
        title=f"Release {release.id}",
        template="release.html",
        values={"release": release},
    )


def release_numbered(look: Look, catalog: Catalog, id: int) -> ReleaseHead | None:
    """Return a release of the environment by its number; None if there is none."""
    return release_with(catalog.database, look.environment, id, moves=MOVED)

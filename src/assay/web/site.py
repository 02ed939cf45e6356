"""All pages of a project: which there are, and each by its address."""

from collections.abc import Iterator
from datetime import UTC, datetime

from assay.catalog import Catalog
from assay.catalog.releases import releases_between
from assay.plan.flows import Lineage
from assay.web.links import may_begin, slug
from assay.web.look import Look, at, product_at
from assay.web.pages import front, lists, others, product
from assay.web.pages.approvals import approvals_page, environments_page
from assay.web.rendering import Page

_RELEASES = 100  # whose pages are written


def page_at(look: Look, catalog: Catalog, kind: str, name: str) -> Page | None:
    """Return the page about one thing, whose slug is `name`; None if there is no such thing."""
    match kind:
        case "product":
            if full := product_at(look, name):
                return product.product_page(look, catalog, full)
        case "source":
            if full := at(look.graph.sources, name):
                return others.source_page(look, catalog, full)
        case "owner":
            if owner := at(owners(look), name):
                return others.owner_page(look, owner)
        case "consumer":
            if consumer := at(look.consumers(), name):
                return others.consumer_page(look, consumer)
        case "domain":
            if domain := at(domains(look), name):
                return others.domain_page(look, domain)
        case "rule":
            for each in look.graph.products.values():
                if may_begin(name, each.name):  # a slug of each rule of a large project takes long
                    for rule in each.contract.rules:
                        if slug(others.rule_name(each, rule)) == name:
                            return others.rule_page(look, catalog, each, rule)
        case "incident":
            for incident in look.incidents:
                if str(incident.id) == name:
                    return others.incident_page(look, incident)
        case "run":
            for run in others.last_runs(look, catalog):
                if slug(run.run) == name:
                    return others.run_page(look, catalog, run)
        case "release" if name.isascii() and name.isdigit() and len(name) < 19:
            if release := others.release_numbered(look, catalog, int(name)):
                return others.release_page(look, release)
    return None


def all_pages(look: Look, catalog: Catalog, lineage: Lineage) -> Iterator[Page]:
    """Yield every page that is written as a file, with the lineage of all columns."""
    yield front.front_page(look, catalog)
    count = len(look.graph.products) + len(look.graph.sources)
    for number in range(max(1, -(-count // lists.ON_A_PAGE))):
        yield lists.list_page(look, number)
    for name in look.graph.order:
        yield product.product_page(look, catalog, name, lineage)
        for rule in look.graph.products[name].contract.rules:
            yield others.rule_page(look, catalog, look.graph.products[name], rule)
    for name in look.graph.sources:
        yield others.source_page(look, catalog, name, lineage)
    yield approvals_page(look)
    yield environments_page(look, catalog)
    yield from (others.owner_page(look, owner) for owner in owners(look))
    yield from (others.consumer_page(look, consumer) for consumer in look.consumers())
    yield from (others.domain_page(look, domain) for domain in domains(look))
    yield others.incidents_page(look)
    yield from (others.incident_page(look, incident) for incident in look.incidents)
    runs = others.last_runs(look, catalog)
    yield others.runs_page(look, runs)
    yield from (others.run_page(look, catalog, run) for run in runs)
    begin = datetime.min.replace(tzinfo=UTC)
    for release in releases_between(
        catalog.database, look.environment, begin, look.now, _RELEASES, moves=others.MOVED
    ):
        yield others.release_page(look, release)


def owners(look: Look) -> list[str]:
    """Return everyone who owns a product, source or rule, sorted."""
    rules = (r.owner for p in look.graph.products.values() for r in p.contract.rules)
    return sorted({*(each.owner for each in look.all_declared()), *rules} - {""})


def domains(look: Look) -> list[str]:
    """Return the domains of products and sources, sorted."""
    return sorted({each.domain for each in look.all_declared()})


def missing_page(what: str, path: str) -> Page:
    """Return the page for an address that leads nowhere; its links are as seen from there."""
    return Page(
        path=path, title="Not found", template="error.html", values={"what": what, "hint": ""}
    )


def refused_page(what: str, hint: str, path: str) -> Page:
    """Return the page for what somebody asked for and cannot have; nothing has changed."""
    return Page(
        path=path,
        title="Nothing was changed",
        template="error.html",
        values={"what": what, "hint": hint},
    )

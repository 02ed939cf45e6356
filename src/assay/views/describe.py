"""Everything that is declared of one product or source, for whoever wants to use it."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from assay.facts import Version
from assay.model import Column, Product, Rule, Source
from assay.plan.graph import Graph
from assay.sensitive import secret
from assay.views.about import ConsumerView
from assay.views.view import View
from assay.views.words.products import parts_of, source_parts


class DescribedColumn(View, frozen=True, kw_only=True):
    """A column: `is_key`, if it is one of those that identify a row.

    - `sensitive`: whether its values are never shown.
    - `since`, `until`: the first and the last day (ISO 8601) whose files have it; '' for any.
    - `was`: what the files before `since` call it; '' if they do not have it.
    - `optional`: whether a file may lack it.
    """

    name: str
    type: str
    description: str
    is_key: bool
    sensitive: bool
    since: str
    until: str
    was: str
    optional: bool


class DescribedRule(View, frozen=True, kw_only=True):
    """A rule as it is declared; `owner` is '' for the owner of the product."""

    text: str
    severity: str
    dimension: str
    because: str
    owner: str


class DescriptionView(View, frozen=True, kw_only=True):
    """A product or source.

    - `kind`: "source", or how the product is built.
    - `files`: the pattern of the files of a source; '' for a product.
    - `columns`: as declared; those that are not declared as they are published.
    - `used_by`: the products that read it.
    """

    name: str
    kind: str
    purpose: str
    description: str
    owner: str
    freshness: str
    event_time: str
    parts: str
    files: str
    access: str
    version: str
    columns: tuple[DescribedColumn, ...]
    rules: tuple[DescribedRule, ...]
    consumers: tuple[ConsumerView, ...]
    reads: tuple[str, ...]
    used_by: tuple[str, ...]
    where: str


def described(graph: Graph, name: str, published: Version | None) -> DescriptionView:
    """Return the description of a product or source; `published` is the version that readers see."""
    used_by = tuple(graph.below.get(name, ()))
    if source := graph.sources.get(name):
        return _source(source, used_by, graph.sensitive_in_source(name))
    product, sensitive = graph.products[name], graph.sensitive(name)
    view = _product(product, published, used_by, sensitive)
    if files := graph.sources.get(product.files):
        promise = str(files.freshness or "")
        columns = _columns(product.contract.columns, product.contract.key, sensitive, files)
        return replace(view, files=files.pattern, freshness=promise, reads=(), columns=columns)
    return view


def _source(source: Source, used_by: tuple[str, ...], sensitive: Iterable[str]) -> DescriptionView:
    return DescriptionView(
        name=source.name,
        kind="source",
        purpose=source.purpose,
        description="",
        owner=source.owner,
        freshness=str(source.freshness or ""),
        event_time=source.event_time,
        parts=source_parts(source),
        files=source.pattern,
        access=source.access,
        version="",
        columns=_columns([*source.columns, *source.path_columns], (), sensitive, source),
        rules=(),
        consumers=(),
        reads=(),
        used_by=used_by,
        where=str(source.where),
    )


def _product(
    product: Product,
    published: Version | None,
    used_by: tuple[str, ...],
    sensitive: Iterable[str],
) -> DescriptionView:
    contract = product.contract
    declared = {column.name for column in contract.columns}
    others = [c for c in (published.columns if published else ()) if c.name not in declared]
    return DescriptionView(
        name=product.name,
        kind=product.kind,
        purpose=product.purpose,
        description=contract.description,
        owner=product.owner,
        freshness=str(product.freshness or ""),
        event_time=product.event_time,
        parts=parts_of(product),
        files="",
        access=product.access,
        version=contract.version,
        columns=_columns([*contract.columns, *others], contract.key, sensitive),
        rules=tuple(map(_rule, contract.rules)),
        consumers=tuple(
            ConsumerView(name=c.name, decides=c.decides, contact=c.contact)
            for c in product.consumers
        ),
        reads=product.reads,
        used_by=used_by,
        where=str(product.where),
    )


def _columns(
    columns: Sequence[Column],
    key: Iterable[str],
    sensitive: Iterable[str],
    source: Source | None = None,
) -> tuple[DescribedColumn, ...]:
    """Return the columns of a product, or of the files of a source."""
    keys, hidden = set(key), secret([column.name for column in columns], sensitive)
    namings = {naming.column: naming for naming in source.namings} if source else {}
    return tuple(
        DescribedColumn(
            name=column.name,
            type=column.type,
            description=column.description,
            is_key=column.name in keys,
            sensitive=column.name in hidden,
            since=namings[column.name].since if column.name in namings else "",
            until=namings[column.name].until if column.name in namings else "",
            was=namings[column.name].was if column.name in namings else "",
            optional=source is not None and column.name in source.optional,
        )
        for column in columns
    )


def _rule(rule: Rule) -> DescribedRule:
    return DescribedRule(
        text=rule.text,
        severity=rule.severity,
        dimension=rule.dimension,
        because=rule.because,
        owner=rule.owner,
    )

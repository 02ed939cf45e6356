"""Products as they are declared, for `products ls`."""

from assay.facts import Version
from assay.model import Access, Kind, Product, Severity
from assay.views.columns import DeclaredColumn, declared_columns
from assay.views.freshness import FreshnessView
from assay.views.products import readers_of
from assay.views.results import ReadersView
from assay.views.view import View
from assay.views.words.products import parts_of


class ConsumerView(View, frozen=True, kw_only=True):
    """A consumer of a product, and what the consumer decides from it."""

    name: str
    decides: str
    contact: str


class DeclaredRule(View, frozen=True, kw_only=True):
    """A rule as it is declared."""

    text: str
    severity: Severity
    because: str


class DeprecatedColumn(View, frozen=True, kw_only=True):
    """A column that is kept until a day (ISO 8601)."""

    name: str
    until: str


class AboutView(View, frozen=True, kw_only=True):
    """A product as it is declared."""

    product: str
    kind: Kind
    owner: str
    purpose: str
    consumers: tuple[ConsumerView, ...]
    tags: tuple[str, ...]
    freshness: str
    promise: FreshnessView | None
    event_time: str
    parts: str
    release_group: str
    reads: tuple[str, ...]
    retries: int
    timeout_seconds: float
    isolate: bool
    access: Access
    version: str
    deprecated: tuple[DeprecatedColumn, ...]
    description: str
    columns: tuple[DeclaredColumn, ...]
    rules: tuple[DeclaredRule, ...]
    where: str


class UndeclaredView(View, frozen=True, kw_only=True):
    """A published product that is no longer declared."""

    product: str
    declared: bool
    readers: ReadersView


def about(product: Product, promise: FreshnessView | None = None) -> AboutView:
    """Return a product as it is declared, and how its promise stands."""
    return AboutView(
        product=product.name,
        kind=product.kind,
        owner=product.owner,
        purpose=product.purpose,
        consumers=tuple(
            ConsumerView(name=c.name, decides=c.decides, contact=c.contact)
            for c in product.consumers
        ),
        tags=product.tags,
        freshness=str(product.freshness or ""),
        promise=promise,
        event_time=product.event_time,
        parts=parts_of(product),
        release_group=product.release_group,
        reads=product.reads,
        retries=product.retries,
        timeout_seconds=product.timeout,
        isolate=product.isolate,
        access=product.access,
        version=product.contract.version,
        deprecated=tuple(
            DeprecatedColumn(name=name, until=day)
            for name, day in product.contract.deprecated.items()
        ),
        description=product.contract.description,
        columns=declared_columns(product.contract.columns),
        rules=tuple(
            DeclaredRule(text=rule.text, severity=rule.severity, because=rule.because)
            for rule in product.contract.rules
        ),
        where=str(product.where),
    )


def about_undeclared(version: Version) -> UndeclaredView:
    """Return a published product that is no longer declared."""
    readers = readers_of(version, version.data_as_of)
    return UndeclaredView(product=version.product, declared=False, readers=readers)

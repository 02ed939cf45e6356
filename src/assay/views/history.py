"""The versions of a product, with their verdicts and releases."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache

from assay.catalog import Catalog
from assay.catalog.differences import figures_to
from assay.facts import Pointer, Status, Verdict, Version
from assay.model import Product
from assay.plan.previous import previous_of
from assay.plan.waivers import waived_rules
from assay.views.figures import FiguresView, figures_view
from assay.views.notes import waivers_over
from assay.views.products import approval_text
from assay.views.view import View

VerdictsOf = Callable[[str], Sequence[Verdict]]  # the verdicts of a version, by its id


def read_verdicts(catalog: Catalog, environment: str) -> VerdictsOf:
    """Return what reads the verdicts of a version, once, without the failing rows."""
    return cache(lambda version: catalog.verdicts(version, environment, brief=True))


class ReleaseView(View, frozen=True, kw_only=True):
    """A release that published a version; `approved` says who approved it, and why."""

    release: int
    at: datetime
    why: str
    approved: tuple[str, ...] = ()


class HistoryView(View, frozen=True, kw_only=True):
    """One version of a product.

    `now`: it is published. `failed` are the rules that hold it back. `rows` is None for a file.
    `changes`: of one that was held back or restated, how it differs from what readers had then.
    `built_on`: the version that it read as `previous`; '' if that is not recorded any more, None if
    it read none.
    """

    version: str
    now: bool
    pinned: bool
    built_at: datetime
    seconds: float
    rows: int | None
    bytes: int
    data_as_of: datetime | None
    held_parts: tuple[str, ...]
    verdict: str
    restated: str
    waived: tuple[str, ...]
    failed: tuple[str, ...]
    released: tuple[ReleaseView, ...]
    changes: FiguresView | None = None
    built_on: str | None = None


def history_of(
    catalog: Catalog,
    name: str,
    product: Product | None,
    environment: str,
    data_as_of: Callable[[Version], datetime | None],
    *,
    now: datetime,
    limit: int | None = None,
    verdicts_of: VerdictsOf | None = None,
) -> list[HistoryView]:
    """Return the versions of a product, newest first; `product` is None if it is not declared.

    At most `limit`. `verdicts_of` returns the verdicts of a version, where they are read already;
    `data_as_of` how far the data of a version reaches. `now` decides which waivers are over.
    The verdict of a version is that under today's contract; without one, the newest.
    """
    releases = catalog.releases(name, environment)
    pointer = catalog.pointers(environment, products=[name]).get(name)
    versions = catalog.versions(name, limit)
    verdicts_of = verdicts_of or read_verdicts(catalog, environment)
    verdicts = [_verdict(verdicts_of(v.id), product) for v in versions]
    approved = _approved(catalog, product, environment)
    over = waivers_over(catalog, filter(None, verdicts), now)
    return [
        _history_view(
            version,
            pointer if pointer and pointer.version == version.id else None,
            verdict,
            [
                ReleaseView(
                    release=r.id, at=r.at, why=r.why, approved=tuple(approved.get(r.id, ()))
                )
                for r in releases
                if r.moves[0][1] == version.id
            ],
            data_as_of(version),
            waived=waived_rules(verdict, over) if verdict else (),
            changes=_changes(catalog, version, product),
            built_on=_built_on(catalog, version),
        )
        for version, verdict in zip(versions, verdicts, strict=True)
    ]


def _approved(
    catalog: Catalog, product: Product | None, environment: str
) -> Mapping[int, Sequence[str]]:
    """Return who approved a product, and why, by the release that was let out."""
    texts: dict[int, list[str]] = defaultdict(list)
    if product and product.approvers:
        for approval in catalog.approvals.of(environment):
            if approval.product == product.name and approval.release:
                texts[approval.release].append(approval_text(approval))
    return texts


def _changes(catalog: Catalog, version: Version, product: Product | None) -> FiguresView | None:
    """Return how a version differs from what readers had; None of a product that is not declared."""
    figures = figures_to(catalog.database, version.id) if product else None
    return figures_view(figures, product.contract.sensitive) if figures and product else None


def _built_on(catalog: Catalog, version: Version) -> str | None:
    """Return the newest earlier version with the content that was read as `previous`."""
    content = previous_of(version.product, version.key.inputs)
    if not content:
        return None
    condition = "where product = ? and digest = ? order by seq desc"
    found = catalog.versions_where(condition, [version.product, content])
    earlier = [each for each in found if each.built_at <= version.built_at and each != version]
    return next((each.id for each in earlier or found), "")


def _verdict(verdicts: Sequence[Verdict], product: Product | None) -> Verdict | None:
    """Return the first verdict under today's contract; without one, the first."""
    contract = product.contract.digest if product else None
    current = [verdict for verdict in verdicts if verdict.contract == contract]
    return next(iter(current or verdicts), None)


def _history_view(
    version: Version,
    pointer: Pointer | None,
    verdict: Verdict | None,
    released: list[ReleaseView],
    data_as_of: datetime | None,
    *,
    waived: tuple[str, ...],
    changes: FiguresView | None,
    built_on: str | None,
) -> HistoryView:
    results = verdict.results if verdict else ()
    return HistoryView(
        version=version.id,
        now=pointer is not None,
        pinned=pointer is not None and pointer.pinned,
        built_at=version.built_at,
        seconds=version.seconds,
        rows=version.rows if version.columns else None,
        bytes=version.bytes,
        data_as_of=data_as_of,
        held_parts=tuple(version.key.held),
        verdict=str(verdict.status) if verdict else "not judged",
        restated=f"restated: {verdict.restated}" if verdict and verdict.restated else "",
        waived=waived,
        changes=changes,
        built_on=built_on,
        failed=tuple(r.text for r in results if r.status in {Status.FAILED, Status.ERROR}),
        released=tuple(released),
    )

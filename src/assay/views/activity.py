"""What runs do, as it is recorded: for `products watch`."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from assay.catalog import Catalog
from assay.catalog.activity import BuiltRow, CheckedRow, built_by, checked_by, released_by
from assay.facts import RecordedRun, short
from assay.times import shown_while
from assay.views.runs import came_out, run_view
from assay.views.view import View
from assay.views.words.numbers import count_of

_RUNS = 50  # runs that may begin between two looks


class What(StrEnum):
    """What happened: to a run (`started`, `ended`), or to a product in it."""

    STARTED = "started"
    BUILT = "built"
    CHECKED = "checked"
    PUBLISHED = "published"
    ENDED = "ended"


class HappenedView(View, frozen=True, kw_only=True):
    """Something that a run did: when, what, and to which product and version ('' for the run itself).

    - `text`: the same in words, without product and version.
    - `failed`: the rules that failed, of what was checked.
    - `release`: the number of the release, of what was published.
    """

    at: datetime
    event: What
    run: str
    product: str = ""
    version: str = ""
    text: str
    failed: tuple[str, ...] = ()
    release: int | None = None


class _Seen(Struct):
    """How much of a run was reported."""

    number: int
    checked_at: datetime
    checked: set[tuple[str, datetime]]
    releases: set[int]


class Activity:
    """What the runs of an environment have done since it was last asked.

    `catalog` is that of before: of runs that ended there, nothing is reported.
    """

    def __init__(self, catalog: Catalog, environment: str) -> None:
        self._environment = environment
        self._open: dict[str, _Seen] = {}
        self._known = {run.id for run in self._listed(catalog) if run.state != "running"}

    @property
    def is_under_way(self) -> bool:
        """Whether a run was under way when it was last asked."""
        return bool(self._open)

    def news(self, catalog: Catalog) -> Iterator[HappenedView]:
        """Yield what happened since, run by run, in the order in which it was recorded."""
        for run in reversed(self._listed(catalog)):
            if run.id in self._known:
                continue
            if run.id not in self._open:
                self._open[run.id] = _Seen(
                    number=0, checked_at=run.started_at, checked=set(), releases=set()
                )
                yield _of_run(run, What.STARTED, run.started_at, f"{run.asked} on {_place(run)}")
            yield from _done(catalog, run, self._open[run.id])
            if run.state != "running":
                self._known.add(run.id)
                del self._open[run.id]
                yield _ended(catalog, run)

    def _listed(self, catalog: Catalog) -> list[RecordedRun]:
        return catalog.runs.listed(self._environment, _RUNS)


def _done(catalog: Catalog, run: RecordedRun, seen: _Seen) -> Iterator[HappenedView]:
    """Yield what a run did to products since; what was built comes before its check."""
    database = catalog.database
    found: list[tuple[datetime, HappenedView]] = []
    for built in built_by(database, run.id, seen.number):
        seen.number = built.number
        found.append((built.at, _built(run.id, built)))
    for checked in checked_by(database, run.id, seen.checked_at):
        if (checked.version, checked.at) not in seen.checked:
            seen.checked.add((checked.version, checked.at))
            seen.checked_at = max(seen.checked_at, checked.at)
            found.append((checked.at, _checked(run.id, checked)))
    for release in released_by(database, run.id):
        if release.id not in seen.releases:
            seen.releases.add(release.id)
            for product, version in release.moves:
                text = f"release {release.id}"
                if not version:
                    text = f"withdrawn by {text}"
                view = HappenedView(
                    at=release.at,
                    event=What.PUBLISHED,
                    run=run.id,
                    product=product,
                    version=version,
                    text=text,
                    release=release.id,
                )
                found.append((release.at, view))
    order = list(What)
    yield from (v for _, v in sorted(found, key=lambda f: (f[0], order.index(f[1].event))))


def _ended(catalog: Catalog, run: RecordedRun) -> HappenedView:
    view = run_view(catalog, run)
    took = "" if view.seconds is None else f", took {shown_while(round(view.seconds, 1))}"
    text = f"{run.state}: {came_out(view) or 'nothing to do'}{took}"
    return _of_run(run, What.ENDED, view.ended_at or run.started_at, text)


def _of_run(run: RecordedRun, what: What, at: datetime, text: str) -> HappenedView:
    return HappenedView(at=at, event=what, run=run.id, text=text)


def _place(run: RecordedRun) -> str:
    who = f", by {run.who}" if run.who else ""
    return f"{run.host}, process {run.pid}{who}"


def _built(run: str, row: BuiltRow) -> HappenedView:
    held = f"{row.bytes:,} bytes" if row.rows is None else count_of(row.rows, "row")
    return HappenedView(
        at=row.at,
        event=What.BUILT,
        run=run,
        product=row.product,
        version=row.version,
        text=f"{held}, {row.seconds:.1f} s",
    )


def _checked(run: str, row: CheckedRow) -> HappenedView:
    return HappenedView(
        at=row.at,
        event=What.CHECKED,
        run=run,
        product=row.product,
        version=row.version,
        text=f"{row.status}: {'; '.join(row.failed)}" if row.failed else row.status,
        failed=row.failed,
    )


def happened_line(view: HappenedView) -> str:
    """Return what happened in a line, without the moment."""
    names = [view.product, short(view.version) if view.version else ""] if view.product else []
    return "  ".join([f"{view.event:<9}", *filter(None, names), view.text])

"""Changes of versions of contracts, and of until when deprecated columns are kept."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date

from msgspec.structs import replace

from assay.model import Contract
from assay.plan.changes.values import Moved, Role, Way, moved, ranked
from assay.plan.changes.versions import version_of


def after_notice(move: Moved, deprecated: Mapping[str, str], today: date) -> Moved:
    """Return a change of a column; removing one after the day until which it was kept is no break."""
    day = deprecated.get(move.of, "")
    is_gone = move.aspect == "column" and move.way in {Way.WEAKER, Way.OTHER}
    if not day or not is_gone:
        return move
    if today >= date.fromisoformat(day):
        return replace(move, role=Role.ABOUT, what=f"{move.what}: it was kept until {day}")
    return replace(move, what=f"{move.what} before {day}, until which it was to be kept")


def version_changes(before: str, now: str) -> Iterator[Moved]:
    """Yield how the version moved: back, or away, is weaker."""
    if before == now:
        return
    old, new = version_of(before), version_of(now)
    is_back = new is None or bool(old and new < old)
    way = Way.WEAKER if is_back else Way.OTHER
    what = f"version {moved(before, now)}{': it moves back' if is_back and new else ''}"
    yield Moved(aspect="version", role=Role.PROMISE if is_back else Role.ABOUT, way=way, what=what)


def deprecation_changes(
    before: Contract, now: Contract, columns: Collection[str] | None, today: date
) -> Iterator[Moved]:
    """Yield how the days moved until which columns are kept; `columns` are those that remain.

    A day that moves earlier breaks, and so does one without notice.
    """
    names = dict.fromkeys([*before.deprecated, *now.deprecated])
    for name in names:
        old, new = before.deprecated.get(name, ""), now.deprecated.get(name, "")
        if old == new or (columns is not None and name not in columns):
            continue
        if not new:
            yield _kept(name, Way.STRONGER, f"not deprecated any more: was kept until {old}")
        elif old:
            way = ranked(_day(old), _day(new), more=Way.STRONGER)
            yield _kept(name, way or Way.OTHER, f"kept until {moved(old, new)}")
        elif _day(new) <= today.toordinal():
            yield _kept(name, Way.WEAKER, f"deprecated without notice: kept until {new}")
        else:
            yield replace(_kept(name, Way.OTHER, f"deprecated: kept until {new}"), role=Role.ABOUT)


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def _kept(name: str, way: Way, what: str) -> Moved:
    return Moved(aspect="deprecated", way=way, what=what, of=name)

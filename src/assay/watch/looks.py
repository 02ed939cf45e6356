"""Sources as they were looked at last: none is looked at more often than it says with `poll`."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from assay.facts import SourceState
from assay.model import Source
from assay.watch.files import file_pattern


class _Look(Struct, frozen=True):
    """A source as it was at a moment."""

    source: Source
    at: datetime
    state: SourceState


class Looks:
    """The last looks at sources that say how often they may be looked at (`poll`)."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}

    def recent(self, sources: Mapping[str, Source], now: datetime) -> dict[str, SourceState]:
        """Return the sources that are not to be looked at yet, as they were."""
        return {
            name: look.state
            for name, look in self._looks.items()
            if sources.get(name) == look.source and now < _next(look) and look.at <= now
        }

    def note(
        self, sources: Mapping[str, Source], states: Mapping[str, SourceState], now: datetime
    ) -> None:
        """Note how sources are now; those that were not looked at keep the time of their look."""
        looks = {}
        for name, state in states.items():
            source = sources[name]
            if source.poll:
                before = self._looks.get(name)
                is_same = before is not None and before.state is state
                looks[name] = before if before and is_same else _Look(source, now, state)
        self._looks = looks

    def changed(self, root: Path, paths: Iterable[Path]) -> None:
        """Look again at the sources that these files may belong to."""
        changed = [str(path) for path in paths]
        for name, look in list(self._looks.items()):
            matches = re.compile(file_pattern(root, look.source)).fullmatch
            if any(map(matches, changed)):
                del self._looks[name]

    def ends(self) -> Iterable[datetime]:
        """Return when sources are to be looked at again."""
        return [_next(look) for look in self._looks.values()]


def _next(look: _Look) -> datetime:
    return look.at + timedelta(seconds=look.source.poll)

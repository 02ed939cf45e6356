"""Products that failed, and when each is tried again: after pauses that grow."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from assay.decisions import AwaitApproval, Blocked, Build, Decision, Held, Keep, Publish
from assay.events import Outcome, Result

FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=1)


class _Pause(Struct, frozen=True):
    """How often something was tried, what for, and when it is tried again."""

    tries: int
    wanted: str
    until: datetime


class Pauses:
    """Pauses of products that failed or did not come out; a change of what is wanted ends one."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def note(self, outcome: Outcome, steps: Mapping[str, Decision], now: datetime) -> None:
        """Note what came out of a run that carried out these steps."""
        for name, result in outcome.results.items():
            if _has_failed(result):
                before = self._pauses.get(name)
                tries = before.tries + 1 if before else 1
                until = now + min(FIRST * 2 ** min(tries - 1, 10), LONGEST)
                self._pauses[name] = _Pause(tries, wanted_by(steps.get(name)), until)
            elif not isinstance(result.end, Held):
                self._pauses.pop(name, None)

    def paused(self, steps: Mapping[str, Decision], now: datetime) -> set[str]:
        """Return the products that are not tried now; pauses that are over are kept to be grown."""
        for name in [name for name in self._pauses if name not in steps]:
            del self._pauses[name]
        return {
            name
            for name, pause in self._pauses.items()
            # Where a clock has gone back, a pause would last for longer than any does.
            if now < pause.until <= now + LONGEST and wanted_by(steps[name]) == pause.wanted
        }

    def ends(self) -> Iterable[datetime]:
        """Return when products are tried again."""
        return [pause.until for pause in self._pauses.values()]


def wanted_by(step: Decision | None) -> str:
    """Return what a step is to build, as text; a step without known inputs wants nothing certain."""
    return step.key.digest if isinstance(step, Build) and step.key else ""


def _has_failed(result: Result) -> bool:
    """Return whether a product did not come out, for another reason than its rules or inputs."""
    came_out = Publish | Keep | Blocked | AwaitApproval | Held
    return bool(result.unbuilt) or not isinstance(result.end, came_out)

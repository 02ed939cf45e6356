"""The last look at a project while its pages are served, and what is going on there now."""

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from assay.catalog import Catalog, shared_catalog
from assay.web.actions import act
from assay.web.look import Look, is_as_before, looking

_FRESH = (
    5.0  # seconds after which it is asked whether something has changed, when a page is asked for
)
_SHARE = 0.1  # of the time that looks may take, while something changes all the time
_LONGEST = 60.0  # seconds that a look is kept: time alone changes how promises stand
_TICK = 2.0  # seconds between two looks at whether a run is under way


class Looks:
    """The last look at a project, made anew when somebody asks and something has changed since.

    A look at thousands of products takes a second: while a run records all the time, looks are made
    for a tenth of the time at most.
    """

    def __init__(self, start: Path, env: str | None) -> None:
        self._start, self._env = start, env
        self._lock = Lock()
        self._look: Look | None = None
        self._made = self._asked = self._kept = 0.0
        self._state: tuple[float, dict[str, Any]] = (0.0, {})

    def now(self) -> Look:
        """Return a look that is as the project was some seconds ago."""
        with self._lock:
            now = time.monotonic()
            if self._look is None or not self._is_fresh(self._look, now):
                with looking(self._env, start=self._start, before=self._look) as (look, _):
                    self._look = look
                self._made = self._asked = time.monotonic()
                self._kept = max(_FRESH, (self._made - now) / _SHARE)
            return self._look

    def _is_fresh(self, look: Look, now: float) -> bool:
        if now - self._made > _LONGEST or not self._made:
            return False
        if now - self._asked <= _FRESH or now - self._made <= self._kept:
            return True
        self._asked = now
        return is_as_before(look)

    def acted(self, action: str, name: str, form: Mapping[str, str], user: str) -> str:
        """Do what a form asks for, and forget the look; return the full name of the product."""
        full = act(self.now(), action, name, form, user)
        with self._lock:
            self._made = 0.0
        return full

    @contextmanager
    def opened(self) -> Iterator[tuple[Look, Catalog]]:
        """Give a look with the catalog open."""
        look = self.now()
        with closing(shared_catalog(look.config)) as catalog:
            yield look, catalog

    def state(self) -> dict[str, Any]:
        """Return whether a run is under way, and the number of the last release; all share it."""
        look = self._look or self.now()
        with self._lock:
            if time.monotonic() - self._state[0] > _TICK / 2:
                self._state = time.monotonic(), _state(look)
            return self._state[1]


async def states(looks: Looks) -> AsyncIterator[str]:
    """Yield what is going on, whenever that changes."""
    from anyio import sleep, to_thread

    last = None
    while True:
        state = await to_thread.run_sync(looks.state)
        if state != last:
            last = state
            yield f"event: state\ndata: {json.dumps(state)}\n\n"
        await sleep(_TICK)


def _state(look: Look) -> dict[str, Any]:
    with closing(shared_catalog(look.config)) as catalog:
        released = catalog.last_release(look.environment)
        running = [
            run for run in catalog.runs.listed(look.environment, 5) if run.state == "running"
        ]
    text = f"A run is under way: {running[0].asked}." if running else ""
    return {"text": text, "release": released.id if released else 0}

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
from assay.web.look import Look, looking

_FRESH = 5.0  # seconds after which a look is made anew, when somebody asks
_TICK = 2.0  # seconds between two looks at whether a run is under way


class Looks:
    """The last look at a project; a new one is made when somebody asks and it is some seconds old."""

    def __init__(self, start: Path, env: str | None) -> None:
        self._start, self._env = start, env
        self._lock, self._at = Lock(), 0.0
        self._look: Look | None = None

    def now(self) -> Look:
        """Return a look that is at most some seconds old."""
        with self._lock:
            if self._look is None or time.monotonic() - self._at > _FRESH:
                with looking(self._env, start=self._start, before=self._look) as (look, _):
                    self._look = look
                self._at = time.monotonic()
            return self._look

    def acted(self, action: str, name: str, form: Mapping[str, str], user: str) -> str:
        """Do what a form asks for, and forget the look; return the full name of the product."""
        full = act(self.now(), action, name, form, user)
        with self._lock:
            self._at = 0.0
        return full

    @contextmanager
    def opened(self) -> Iterator[tuple[Look, Catalog]]:
        """Give a look with the catalog open."""
        look = self.now()
        with closing(shared_catalog(look.config)) as catalog:
            yield look, catalog


async def states(looks: Looks) -> AsyncIterator[str]:
    """Yield whether a run is under way, and the number of the last release, whenever one changes."""
    from anyio import sleep, to_thread

    last = None
    while True:
        state = await to_thread.run_sync(_state, looks)
        if state != last:
            last = state
            yield f"event: state\ndata: {json.dumps(state)}\n\n"
        await sleep(_TICK)


def _state(looks: Looks) -> dict[str, Any]:
    with looks.opened() as (look, catalog):
        released = catalog.last_release(look.environment)
        running = [
            run for run in catalog.runs.listed(look.environment, 5) if run.state == "running"
        ]
    text = f"A run is under way: {running[0].asked}." if running else ""
    return {"text": text, "release": released.id if released else 0}

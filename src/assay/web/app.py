"""The pages, served: every request is answered from a look at the project that is seconds old."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from assay.catalog import Catalog, shared_catalog
from assay.errors import AssayError, UsageError
from assay.text import clean
from assay.web.actions import Allowed, Refused, act, form_of, user_of
from assay.web.diffs import diff_page, sides
from assay.web.links import Links, place
from assay.web.look import Look, looking
from assay.web.pages import front, others
from assay.web.rendering import FOLDER, Page, rendered
from assay.web.rows import rows_of
from assay.web.site import missing_page, page_at, refused_page

_FRESH = 5.0  # seconds after which a look is made anew, when somebody asks
_TICK = 2.0  # seconds between two looks at whether a run is under way
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_STATIC = {
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "live.js": "text/javascript",
    "htmx.min.js": "text/javascript",
}


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


def application(start: Path, env: str | None = None, allows: Allowed | None = None) -> Any:
    """Return the ASGI application that serves the project at or above `start`.

    `allows` says what people may do on the pages; by default, nothing.

    Raises UsageError if the packages that it needs are not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request
        from starlette.responses import Response, StreamingResponse
        from starlette.routing import Route
    except ImportError:
        raise UsageError(
            "serving pages needs the package starlette", hint="pip install 'assay[web]'"
        ) from None
    looks, allows = Looks(start, env), allows or Allowed()
    links = Links(actions=allows.actions)

    def answer(make: Callable[[Look, Catalog], Page | None], status: int = 200) -> Response:
        try:
            with looks.opened() as (look, catalog):
                page = make(look, catalog)
                if page is None:
                    status, page = 404, missing_page("There is no such page.")
                html = rendered(page, look, links)
        except AssayError as error:
            text = clean(f"{error.what}\n{error.hint or ''}\n", keep_lines=True)
            code = 404 if isinstance(error, UsageError) else 503
            return Response(text, code, _HEADERS, media_type="text/plain; charset=utf-8")
        return Response(html.encode("utf-8", "backslashreplace"), status, _HEADERS, "text/html")

    def index(request: Request) -> Response:
        return answer(front.front_page)

    def products(request: Request) -> Response:
        return answer(lambda look, _: _search(look, request, path="products"))

    def search(request: Request) -> Response:
        return answer(lambda look, _: _search(look, request, path="search"))

    def incidents(request: Request) -> Response:
        return answer(lambda look, _: others.incidents_page(look))

    def runs(request: Request) -> Response:
        return answer(lambda look, c: others.runs_page(look, others.last_runs(look, c)))

    def one(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        return answer(lambda look, catalog: page_at(look, catalog, kind, name))

    def rows(request: Request) -> Response:
        is_part = request.headers.get("hx-request") == "true"
        name = request.path_params["name"]
        return answer(lambda look, catalog: rows_of(look, catalog, name, as_part=is_part))

    def diff(request: Request) -> Response:
        name = request.path_params["name"]
        before, after = sides(dict(request.query_params))
        return answer(lambda look, _: diff_page(look, name, before, after))

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return Response("no such file\n", 404, _HEADERS, media_type="text/plain")
        return Response((FOLDER / "static" / name).read_bytes(), 200, _HEADERS, _STATIC[name])

    async def acted(request: Request) -> Response:
        action, name = request.path_params["action"], request.path_params["name"]
        if action not in allows.actions:
            return await run_in_threadpool(answer, lambda look, catalog: None)
        try:
            user, form = user_of(request, allows), await form_of(request)
            full = await run_in_threadpool(looks.acted, action, name, form, user)
        except AssayError as error:
            what, hint, page = error.what, error.hint or "", f"{action}/{name}"
            status = 403 if isinstance(error, Refused) else 400
            return await run_in_threadpool(
                answer, lambda look, _: refused_page(what, hint, page), status
            )
        return Response(
            status_code=303, headers=_HEADERS | {"Location": f"../{place('product', full)}"}
        )

    async def events(request: Request) -> Response:
        return StreamingResponse(_states(looks), 200, _HEADERS, "text/event-stream")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/products", products),
            Route("/search", search),
            Route("/incidents", incidents),
            Route("/runs", runs),
            Route("/events", events),
            Route("/static/{name}", static),
            Route("/rows/{name}", rows),
            Route("/diff/{name}", diff),
            Route("/{action}/{name}", acted, methods=["POST"]),
            Route("/{kind}/{name}", one),
        ]
    )


def _search(look: Look, request: Any, path: str) -> Page:
    query = request.query_params.get("q", "")[:200]
    start = request.query_params.get("start", "0")
    number = int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0
    from msgspec.structs import replace

    return replace(front.search_page(look, query, number), path=path)


async def _states(looks: Looks) -> AsyncIterator[str]:
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

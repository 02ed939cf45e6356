"""The pages, served: every request is answered from a look at the project that is seconds old."""

import shutil
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from assay.catalog import Catalog
from assay.errors import AssayError, UsageError
from assay.text import clean
from assay.web.actions import Allowed, Refused, form_of, user_of
from assay.web.columns import columns_of
from assay.web.contracts import contract_of
from assay.web.diffs import diff_page, sides
from assay.web.links import Links, place, slug
from assay.web.look import Look, product_at
from assay.web.looks import Looks, states
from assay.web.pages import front, lists, others
from assay.web.pages.approvals import approvals_page, environments_page
from assay.web.records import evidence_of, record_page
from assay.web.rendering import FOLDER, Page, rendered
from assay.web.rows import rows_of
from assay.web.site import missing_page, page_at, refused_page

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
Make = Callable[[Look, Catalog, Request], Page | None]


def application(looks: Looks, allows: Allowed | None = None) -> Starlette:
    """Return the application that serves a project.

    `allows` says what people may do on the pages; by default, nothing.
    """
    server = Server(looks, allows or Allowed())
    return Starlette(
        routes=[
            *(Route(path, server.page(make)) for path, make in _PAGES.items()),
            Route("/events", server.events),
            Route("/static/{name}", static),
            Route("/evidence/{name}", server.evidence),
            Route("/contract/{name}.json", server.contract),
            Route("/{action}/{name}", server.acted, methods=["POST"]),
            Route("/{kind}/{name}", server.page(_one)),
        ]
    )


class Server:
    """Answers requests; what it does not allow is not there."""

    def __init__(self, looks: Looks, allows: Allowed) -> None:
        self._looks, self._allows = looks, allows
        self._links = Links(actions=allows.actions)

    def page(self, make: Make) -> Callable[[Request], Response]:
        """Return a handler that answers with a page, or says that there is none."""
        return lambda request: self._answer(
            lambda look, catalog: make(look, catalog, request), path=_path(request)
        )

    def evidence(self, request: Request) -> Response:
        """Answer with the evidence of a product, as an archive."""
        name = request.path_params["name"].removesuffix(".zip")
        try:
            file = evidence_of(self._looks.now(), name)
        except AssayError as error:
            return self._refused(error, f"evidence/{name}", 404)
        if file is None:
            return self._answer(lambda look, catalog: None, path=_path(request))
        remove = BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True)
        kind = "application/zip"
        return FileResponse(
            file, 200, _HEADERS, filename=f"{name}.zip", media_type=kind, background=remove
        )

    def contract(self, request: Request) -> Response:
        """Answer with the contract of a product, as a file to keep."""
        name = request.path_params["name"]
        try:
            with self._looks.opened() as (look, catalog):
                full = product_at(look, name)
                text = contract_of(look, catalog, full) if full else None
        except AssayError as error:
            return self._refused(error, f"contract/{name}", 503)
        if text is None:
            return self._answer(lambda look, catalog: None, path=_path(request))
        headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{slug(name)}.json"'}
        return Response(text, 200, headers, "application/json")

    async def acted(self, request: Request) -> Response:
        """Do what a form asks for, and lead to the page of the product."""
        action, name = request.path_params["action"], request.path_params["name"]
        if action not in self._allows.actions:
            return await run_in_threadpool(
                lambda: self._answer(lambda look, catalog: None, path=_path(request))
            )
        try:
            user, form = user_of(request, self._allows), await form_of(request)
            full = await run_in_threadpool(self._looks.acted, action, name, form, user)
        except AssayError as error:
            status = 403 if isinstance(error, Refused) else 400
            return await run_in_threadpool(self._refused, error, f"{action}/{name}", status)
        return Response(
            status_code=303, headers={**_HEADERS, "Location": f"../{place('product', full)}"}
        )

    async def events(self, request: Request) -> Response:
        """Answer with what is going on, as a stream that has no end."""
        return StreamingResponse(states(self._looks), 200, _HEADERS, "text/event-stream")

    def _refused(self, error: AssayError, path: str, status: int) -> Response:
        what, hint = error.what, error.hint or ""
        return self._answer(lambda look, _: refused_page(what, hint, path), status, path=path)

    def _answer(
        self, make: Callable[[Look, Catalog], Page | None], status: int = 200, *, path: str
    ) -> Response:
        """Answer with a page; `path` is that of the address, for when there is none."""
        try:
            with self._looks.opened() as (look, catalog):
                page = make(look, catalog)
                if page is None:
                    status, page = 404, missing_page("There is no such page.", path)
                html = rendered(page, look, self._links)
        except AssayError as error:
            text = clean(f"{error.what}\n{error.hint or ''}\n", keep_lines=True)
            code = 404 if isinstance(error, UsageError) else 503
            return Response(text, code, _HEADERS, media_type="text/plain; charset=utf-8")
        return Response(html.encode("utf-8", "backslashreplace"), status, _HEADERS, "text/html")


def _path(request: Request) -> str:
    """Return a path as deep as the address, from which relative links are seen."""
    return "missing/page" if request.path_params else "missing"


def static(request: Request) -> Response:
    """Answer with a style sheet, script or picture."""
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("no such file\n", 404, _HEADERS, media_type="text/plain")
    return Response((FOLDER / "static" / name).read_bytes(), 200, _HEADERS, _STATIC[name])


def _one(look: Look, catalog: Catalog, request: Request) -> Page | None:
    return page_at(look, catalog, request.path_params["kind"], request.path_params["name"])


def _rows(look: Look, catalog: Catalog, request: Request) -> Page | None:
    return rows_of(look, catalog, request.path_params["name"], as_part=_is_part(request))


def _columns(look: Look, catalog: Catalog, request: Request) -> Page | None:
    return columns_of(look, request.path_params["name"], as_part=_is_part(request))


def _is_part(request: Request) -> bool:
    """Return whether a script asks, to put the answer into the page that it is on."""
    return request.headers.get("hx-request") == "true"


def _diff(look: Look, catalog: Catalog, request: Request) -> Page | None:
    before, after = sides(request.query_params)
    return diff_page(look, request.path_params["name"], before, after)


def _search(look: Look, request: Request, path: str) -> Page:
    start = request.query_params.get("start", "0")
    number = int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0
    return lists.search_page(look, lists.filters_of(request.query_params), number, path)


_PAGES: Mapping[str, Make] = {
    "/": lambda look, catalog, _: front.front_page(look, catalog),
    "/products": lambda look, _, request: _search(look, request, path="products"),
    "/search": lambda look, _, request: _search(look, request, path="search"),
    "/incidents": lambda look, *_: others.incidents_page(look),
    "/runs": lambda look, catalog, _: others.runs_page(look, others.last_runs(look, catalog)),
    "/approvals": lambda look, *_: approvals_page(look),
    "/environments": lambda look, catalog, _: environments_page(look, catalog),
    "/rows/{name}": _rows,
    "/columns/{name}": _columns,
    "/diff/{name}": _diff,
    "/record/{name}": lambda look, _, request: record_page(look, request.path_params["name"]),
}

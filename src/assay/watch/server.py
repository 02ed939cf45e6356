"""The pages of the loop: `/healthz` for probes, `/metrics` for Prometheus."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from assay.errors import UsageError
from assay.watch.metrics import Metrics
from assay.watch.vitals import Vitals

_TIMEOUT = 5.0  # seconds that a client may take to say what it wants


@contextmanager
def serving(
    vitals: Vitals, clock: Callable[[], datetime], *, host: str, port: int
) -> Iterator[int]:
    """Serve the pages while in this context; yield the port.

    Raises UsageError if nothing can listen there, or `prometheus-client` is not installed.
    """
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    except ImportError:
        raise UsageError(
            "metrics need the package prometheus-client", hint="pip install 'assay[run]'"
        ) from None
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.process_collector import ProcessCollector

    registry = CollectorRegistry()
    registry.register(Metrics(vitals))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    def page(path: str) -> tuple[int, str, bytes] | None:
        if path == "/healthz":
            shown = vitals.as_json(clock())
            return 200 if shown["ok"] else 503, "application/json", json.dumps(shown).encode()
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
        return None

    try:
        server = ThreadingHTTPServer((host, port), _handler(page))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another --port."
        ) from None
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True, name="health and metrics")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_TIMEOUT)


def _handler(page: Callable[[str], tuple[int, str, bytes] | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT
        server_version, sys_version = "assay", ""

        def do_GET(self) -> None:
            code, kind, body = page(self.path.partition("?")[0]) or (404, "text/plain", b"")
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing: standard error is not for requests."""

    return Handler

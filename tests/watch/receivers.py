"""A mail server and a web server that keep what they receive: real ones, on local ports."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


class Mails:
    """A mail server: `received` are the mails, each with its recipients in the envelope."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.received: list[tuple[list[str], EmailMessage]] = []
        self.answer = "250 OK"
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("2"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.received.append((list(envelope.rcpt_tos), mail))
        return self.answer

    def __enter__(self) -> "Mails":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=assay@shop.example"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["subject"]) for _, mail in self.received]

    @property
    def texts(self) -> list[str]:
        return [mail.get_content() for _, mail in self.received]

    @property
    def recipients(self) -> list[list[str]]:
        return [to for to, _ in self.received]


class Posts:
    """A web server: `received` are the JSON bodies that were posted; it answers with `status`."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status, self.port = 200, 0
        self.seconds = 0.0  # until it answers
        self.hangs = threading.Event()  # while it is clear, requests are answered
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def subjects(self) -> list[str]:
        return [body["title"] for body in self.received]


@contextmanager
def posts() -> Iterator[Posts]:
    """Run a web server."""
    kept = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if kept.hangs.is_set():
                kept.release.wait(60)
                return
            if kept.status < 300:
                kept.received.append(body)
            kept.release.wait(kept.seconds)
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.release.set()
        server.shutdown()
        server.server_close()

"""Lets a child process run functions on empty inputs, within a time, and returns their lineage."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from msgspec import MsgspecError
from msgspec.json import decode

from assay.build.empty_runner import Opening, Request
from assay.jsonform import encode
from assay.model import Column, Product
from assay.plan.flows import TableFlows
from assay.plan.misfits import Degree, Problem, Traced, unchecked

_START = 60.0  # seconds that a child has to import the project
_LIMIT = 10.0  # seconds that a function has: it is given no rows
_ENDS = 2.0  # seconds that a child has to end by itself
_CHUNK = 1 << 16
_LATE, _GONE = "took longer than {limit:g} s", "ended the process that it ran in"

_ALONE = Problem(
    what="its function reads no inputs, so it is not run without data", degree=Degree.UNCHECKED
)


class EmptyRuns:
    """Runs functions of a project at a moment; a child process starts with the first of them."""

    def __init__(self, root: Path, now: datetime, *, limit: float = _LIMIT) -> None:
        self._opening = Opening(root=str(root), now=now)
        self._limit = limit
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._replies = self._lifeline = -1
        self._cannot_start = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def trace(self, product: Product, columns: Mapping[str, Sequence[Column]]) -> Traced:
        """Return what the function of a product gives for inputs without rows.

        A function without inputs is not run: nothing flows into it.
        """
        if not product.inputs:
            return Traced(flows=TableFlows(), problems=(_ALONE,))
        if self._process is None and not self._cannot_start:
            self._try_to_start()
        if self._cannot_start:
            return unchecked(self._cannot_start, fleeting=True)
        listed = {name: list(each) for name, each in columns.items()}
        request = Request(product=product.name, code=product.code.digest, columns=listed)
        try:
            self._send(encode(request))
            return self._receive(self._limit)
        except TimeoutError:
            self._end()
            late = _LATE.format(limit=self._limit)
            return unchecked(f"its function {late}, without rows", fleeting=True)
        except (OSError, EOFError, MsgspecError):
            self._end()
            return unchecked(f"its function {_GONE}", fleeting=True)

    def _try_to_start(self) -> None:
        """Start the child; if the project cannot be imported there, no other is tried."""
        try:
            self._start()
        except (OSError, EOFError, MsgspecError):  # TimeoutError is an OSError
            self._end()
            self._cannot_start = "the definitions cannot be imported in a process of their own"

    def _start(self) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        lifeline, self._lifeline = os.pipe()
        ends = (requests, replies, lifeline)
        arguments = [*map(str, ends), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "assay.build.empty_runner", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=ends,
                process_group=0,
            )
        finally:
            for end in ends:
                os.close(end)
        self._send(encode(self._opening))
        self._receive(_START)

    def _send(self, message: bytes) -> None:
        message += b"\n"
        while message:
            message = message[os.write(self._requests, message) :]

    def _receive(self, limit: float) -> Traced:
        """Return the next reply; TimeoutError after `limit` seconds, EOFError if there is none."""
        until, received = time.monotonic() + limit, b""
        while not received.endswith(b"\n"):
            seconds = until - time.monotonic()
            if seconds <= 0 or not select.select([self._replies], [], [], seconds)[0]:
                raise TimeoutError
            chunk = os.read(self._replies, _CHUNK)
            if not chunk:
                raise EOFError
            received += chunk
        return decode(received, type=Traced)

    def _end(self) -> None:
        """End the child, and all that it started: its supervisor does when the lifeline closes."""
        process, self._process = self._process, None
        if process is None:
            return
        os.close(self._requests)
        os.close(self._lifeline)
        os.close(self._replies)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS)
        process.kill()
        process.wait()

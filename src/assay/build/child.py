"""The child process that builds one product, seen from the run; `worker` is what runs in it.

Messages are lines of JSON over two pipes. The run polls for them: half a message, which user's code
may have written to the pipe, never blocks it.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from assay.build.deadlines import GRACE, TICK, timed_out
from assay.build.error_text import RemoteError
from assay.build.messages import (
    MakeReply,
    MakeRequest,
    Task,
    decode_reply,
    encode_request,
    encode_task,
)
from assay.declare.accesses import noted
from assay.engines.measure import PartCheck
from assay.engines.tables import InputFiles, Measured
from assay.errors import BuildError, Crashed

_START = 60.0  # seconds that a child has at least to import what it needs
_CHUNK = 1 << 16  # bytes read at a time


class Child:
    """A child process that builds one product, file by file; it starts with the first file."""

    def __init__(self, task: Task, timer: Callable[[], float], stopping: Event) -> None:
        self.task, self.product, self.timer, self.stopping = task, task.product, timer, stopping
        self.process: subprocess.Popen[bytes] | None = None
        self.requests = self.replies = self.lifeline = -1  # our ends of the pipes
        self.ended = False
        self.peak = 0  # bytes of memory that it has had at most
        self._received = b""

    def make(
        self,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
        measuring: Callable[..., Measured] | None = None,
    ) -> Measured:
        """Build a file; raise RemoteError for an exception in the child, TimedOut or Crashed.

        The child measures the file itself, without `measuring`.
        """
        limit = self.product.timeout
        if self.process is None:
            if self.stopping.is_set():
                raise BuildError("the run was stopped")
            self._start()
            self._send(encode_task(self.task))
            self._receive(max(limit, _START) if limit else 0)
        self._send(encode_request(MakeRequest(inputs=inputs, target=target, part_check=part_check)))
        reply = self._receive(limit)
        if reply is None:
            raise self._crashed()
        noted(reply.files, reply.variables)
        self.peak = max(self.peak, reply.peak)
        return reply.measured

    def close(self) -> None:
        """End the child."""
        self._end()

    # ---------------------------------------------------------------------------------------- start

    def _start(self) -> None:
        child_requests, self.requests = os.pipe()
        self.replies, child_replies = os.pipe()
        child_lifeline, self.lifeline = os.pipe()
        ends = (child_requests, child_replies, child_lifeline)
        try:
            self.process = _popen(ends)
        except BaseException:
            for end in (self.requests, self.replies, self.lifeline):
                os.close(end)
            raise
        finally:
            for end in ends:
                os.close(end)

    # ------------------------------------------------------------------------------------- messages

    def _send(self, message: bytes) -> None:
        try:
            while message:
                message = message[os.write(self.requests, message) :]
        except BrokenPipeError:
            raise self._crashed() from None

    def _receive(self, limit: float) -> MakeReply | None:
        """Return the next reply; raise TimedOut after `limit` seconds (0: no limit)."""
        message = self._receive_line(limit)
        try:
            reply = decode_reply(message)
        except ValueError:
            self._end(signal.SIGTERM)
            problem = f"the process that made {self.product.name} said what nobody understands"
            hint = "Does its code write to files that it did not open?"
            raise Crashed(problem, hint=hint) from None
        if isinstance(reply, RemoteError):
            raise reply
        return reply

    def _receive_line(self, limit: float) -> bytes:
        until = self.timer() + limit if limit else None
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        while not self._received.endswith(b"\n"):
            if self.stopping.is_set():
                self._end(signal.SIGTERM)
                raise BuildError("the run was stopped")
            seconds = TICK
            if until is not None:
                remaining = until - self.timer()
                if remaining <= 0:
                    self._end(signal.SIGTERM)
                    raise timed_out(self.product)
                seconds = min(TICK, remaining)
            if poll.poll(seconds * 1000):
                chunk = os.read(self.replies, _CHUNK)
                if not chunk:
                    raise self._crashed()
                self._received += chunk
        line, self._received = self._received, b""
        return line

    # ------------------------------------------------------------------------------------------ end

    def _crashed(self) -> Crashed:
        """End a child that no longer answers; return the error, which says how it ended."""
        process = self.process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        code = process.poll()
        self._end(signal.SIGTERM)
        message = f"the process that made {self.product.name} {_ending(code)}"
        return Crashed(message, where=self.product.where)

    def _end(self, number: signal.Signals | None = None) -> None:
        """End the child and all that it started: close its requests or send a signal, then kill."""
        if self.process is None or self.ended:
            return
        self.ended = True
        if number is None:
            os.close(self.requests)
        else:
            self._signal(number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        os.close(self.lifeline)  # its supervisor kills what still runs
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self._signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.replies)
        if number is not None:
            os.close(self.requests)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _popen(pipes: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start the child with its ends of the pipes.

    Output of the user's code goes to stderr, as it does in this process. The child is a process
    group of its own, so that Ctrl-C reaches it only through us, and what it starts ends with it.
    """
    arguments = [*map(str, pipes), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "assay.build.worker", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        pass_fds=pipes,
        process_group=0,
    )


def _ending(code: int | None) -> str:
    """Return how a process ended, to continue a sentence; its code is None while it runs."""
    if code is None:
        return "answers no more"
    if code >= 0:
        return f"ended with exit code {code} before it was done"
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return f"was killed ({name}): out of memory?"
    if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        return f"was ended ({name})"
    return f"crashed ({name})"

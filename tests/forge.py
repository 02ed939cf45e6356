"""A warm process that runs the command in forks of itself, so that a kill costs no start-up; driven by JSON lines.

A job: `root`, `arguments`, `out` (a folder for what it prints), and optionally `at`, `after` and `words` (see `shim`), `trace`
(count without killing), `seconds` (kill -9 from outside by then), `variants`, `limits` (of resources, by name) and
`powerless` (permissions count, also for root). The answer: `code` or `signal`.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or None when it was killed; and what it printed."""

    code: int | None
    out: str
    err: str
    trace: list[list[Any]]

    @property
    def killed(self) -> bool:
        return self.code is None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines that were printed whole: what was acknowledged."""
        return [
            json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")
        ]


class Forge:
    """The warm process, as seen from a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "tests.forge"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, root: Path, *arguments: str, **job: Any) -> Ended:
        """Run the command in a project; see the module for what a job may say besides."""
        assert self.process.stdin and self.process.stdout
        for name in ("out", "err", "trace"):  # it may die before it gets to that
            (self.folder / name).write_text("")
        line = json.dumps(
            {"root": str(root), "arguments": arguments, "out": str(self.folder), **job}
        )
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        trace = json.loads((self.folder / "trace").read_text()) if job.get("trace") else []
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return Ended(told["code"], out, err, trace)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)


def serve() -> None:
    import apprise  # noqa: F401
    import duckdb  # noqa: F401
    import pandera.polars  # noqa: F401
    import polars  # noqa: F401

    import assay.cli.main
    import assay.engines.make  # noqa: F401

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            _work(job)
        status = _wait(child, job.get("seconds"))
        code = os.waitstatus_to_exitcode(status)
        sys.stdout.write(
            json.dumps({"code": code if code >= 0 else None, "signal": max(0, -code)}) + "\n"
        )
        sys.stdout.flush()


def _wait(child: int, seconds: float | None) -> int:
    end = time.monotonic() + (seconds if seconds is not None else 120)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        left = end - time.monotonic()
        if left <= 0:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _work(job: dict[str, Any]) -> None:
    """Be the command; never returns."""
    code = 70
    with contextlib.suppress(BaseException):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        code = _command(job)
    os._exit(code)


def _command(job: dict[str, Any]) -> int:
    from assay.cli.main import main
    from tests.faults.shim import Shim, install
    from tests.faults.variants import VARIANTS

    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{job['out']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
    os.chdir(job["root"])
    for name, most in job.get("limits", {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    if job.get("powerless"):
        _obey()
    for name in job.get("variants", ()):
        VARIANTS[name]()
    shim = Shim(
        Path(job["root"]),
        job.get("at", 0),
        after=job.get("after", False),
        words=job.get("words", ""),
    )
    if job.get("at") or job.get("trace"):
        install(shim)
    try:
        main(job["arguments"], prog_name="products")
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    sys.stdout.flush()
    if job.get("trace"):
        shim.save(Path(job["out"]) / "trace")
    return code


def _obey() -> None:
    """Let go of what root may do beyond what permissions say (Linux: an empty set of capabilities)."""
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    serve()

"""Refuses what would change things while users' code runs only to be looked at."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REFUSED = {
    *("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("shutil.rmtree", "shutil.move", "shutil.copyfile", "shutil.copytree"),
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen"),
    *("socket.connect", "socket.bind", "socket.sendto"),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """An audit hook that refuses what changes things, while it is closed.

    Writing files, starting processes and connecting raise PermissionError; `why` begins its
    message.
    """

    def __init__(self, why: str) -> None:
        self.closed, self._why = False, why
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.closed:
            return
        writes = event == "open" and bool((arguments[2] or 0) & _WRITES)
        if (writes and arguments[0] != os.devnull) or event in _REFUSED:
            what = f"{event} {arguments[0]}" if arguments else event
            raise PermissionError(f"{self._why}, and may change nothing ({what})")

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Refuse in this context."""
        self.closed = True
        try:
            yield
        finally:
            self.closed = False

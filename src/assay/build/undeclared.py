"""What users' functions read when they run that is no input of theirs: a change of it would go unnoticed."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import get_ident
from typing import TypeVar

from assay.config import Config
from assay.declare.accesses import Accesses, noticing
from assay.declare.imports import Local
from assay.declare.manifest import reads_files
from assay.model import Product
from assay.plan.observed import Observed
from assay.text import sayable

# Variables that say how a process runs, or who it is, and not what it computes.
_OF_THE_PROCESS = {
    "HOME",
    "HOSTNAME",
    "LANG",
    "LOGNAME",
    "PATH",
    "PWD",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
}
_CREDENTIAL = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|_KEY$", re.IGNORECASE)
T = TypeVar("T")


class Undeclared:
    """The files of the project, and the environment variables, that were read for each product and are not declared."""

    def __init__(self, config: Config, observed: Observed) -> None:
        self.config, self.observed, self.local = config, observed, Local(config)
        self._found: dict[str, set[str]] = {}

    def of(self, name: str) -> tuple[str, ...]:
        """Return what was read for a product so far: files as seen from the project, and variables (`$NAME`)."""
        return tuple(
            sorted(self._found.get(name, ()), key=lambda path: (path.startswith("$"), path))
        )

    def watched(self, product: Product, work: Callable[[], T]) -> Callable[[], T]:
        """Return work that notes what the user's code reads meanwhile, in the thread that does it."""
        if not product.runs_python:
            return work

        def done() -> T:
            accesses = reading(self.local, thread=get_ident())
            with noticing(accesses):
                result = work()
            self._found.setdefault(product.name, set()).update(self._of(product, accesses))
            return result

        return done

    def _of(self, product: Product, accesses: Accesses) -> Iterator[str]:
        files = [
            path for path in accesses.files.keys() - accesses.written if self._is_of_user(path)
        ]
        declared = self._declared(product) if files else set()
        yield from (
            sayable(self.local.inside(path))
            for path in files
            if os.path.realpath(path) not in declared
        )
        for name in accesses.variables - _OF_THE_PROCESS:
            if f"${name}" not in self.config.reads and not _CREDENTIAL.search(name):
                yield sayable(f"${name}")

    def _declared(self, product: Product) -> set[str]:
        """Return the files that are inputs of a product, or are listed."""
        sources = [
            self.observed.sources[i.name] for i in product.inputs if i.name in self.observed.sources
        ]
        inputs = [self.config.root / file.path for source in sources for file in source.files]
        listed = [
            Path(file) for name in self.config.reads for file in reads_files(self.config, name)
        ]
        return {os.path.realpath(file) for file in [*inputs, *listed]}

    def _is_of_user(self, path: str) -> bool:
        """Say whether a file is the project's, and one that could be declared: not code, hidden, or of the store."""
        if (
            not self.local.contains(path)
            or path.endswith(".py")
            or path.startswith(f"{self.local.state}/")
        ):
            return False
        hidden = any(
            name.startswith(".") or name == "__pycache__"
            for name in Path(self.local.inside(path)).parts
        )
        return not hidden and Path(path).is_file()


def reading(local: Local, thread: int | None = None) -> Accesses:
    """Return what notes what the functions of a project read when they run."""
    return Accesses(owns=local.owns, contains=local.contains, thread=thread, imported=True)

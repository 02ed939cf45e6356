"""Finds files and environment variables that users' functions read and that are no declared inputs.

A change of them would not trigger a rebuild.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import get_ident
from typing import TypeVar

from assay.config import Config
from assay.declare.accesses import Accesses, noticing
from assay.declare.dependencies import reads_files
from assay.declare.imports import Local
from assay.model import Product
from assay.plan.observed import Observed
from assay.text import sayable

# Variables about the process or its user, on which no result should depend.
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
    """The undeclared files and environment variables that were read for each product."""

    def __init__(self, config: Config, observed: Observed) -> None:
        self.config, self.observed, self.local = config, observed, Local(config)
        self._names: dict[str, set[str]] = {}

    def of(self, name: str) -> tuple[str, ...]:
        """Return what was read for a product: paths from the project's root, then `$VARIABLES`."""
        names = self._names.get(name, ())
        return tuple(sorted(names, key=lambda name: (name.startswith("$"), name)))

    def watched(self, product: Product, work: Callable[[], T]) -> Callable[[], T]:
        """Return work that also records what the user's code reads in the thread that does it."""
        if not product.runs_python:
            return work

        def watched_work() -> T:
            accesses = reading(self.local, thread=get_ident())
            with noticing(accesses):
                result = work()
            names = self._names.setdefault(product.name, set())
            names.update(self._files(product, accesses))
            names.update(self._variables(accesses.variables))
            return result

        return watched_work

    def _files(self, product: Product, accesses: Accesses) -> Iterator[str]:
        paths = accesses.files.keys() - accesses.written
        files = [path for path in paths if self._may_be_declared(path)]
        if not files:
            return
        declared = self._declared(product)
        for path in files:
            if os.path.realpath(path) not in declared:
                yield sayable(self.local.inside(path))

    def _variables(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            is_listed = name in _OF_THE_PROCESS or f"${name}" in self.config.reads
            if not is_listed and not _CREDENTIAL.search(name):
                yield sayable(f"${name}")

    def _declared(self, product: Product) -> set[str]:
        """Return the files of a product's sources, and those that `reads` lists in the settings."""
        root, sources = self.config.root, self.observed.sources
        inputs = [
            root / file.path
            for item in product.inputs
            if item.name in sources
            for file in sources[item.name].files
        ]
        listed = [
            Path(file) for name in self.config.reads for file in reads_files(self.config, name)
        ]
        return {os.path.realpath(file) for file in [*inputs, *listed]}

    def _may_be_declared(self, path: str) -> bool:
        """Return whether a path is a file of the project: not code, hidden or in the store."""
        if not self.local.contains(path) or path.endswith(".py"):
            return False
        if path.startswith(f"{self.local.state}/"):
            return False
        names = Path(self.local.inside(path)).parts
        hidden = any(name.startswith(".") or name == "__pycache__" for name in names)
        return not hidden and Path(path).is_file()


def reading(local: Local, thread: int | None = None) -> Accesses:
    """Return a recorder of what the functions of a project read while they run."""
    return Accesses(owns=local.owns, contains=local.contains, thread=thread, imported=True)

"""Opens the project for each turn; declarations that are as they were are not decoded again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from assay.build.workspace import Workspace
from assay.declare.manifest import Manifest

Open = Callable[[Manifest | None], AbstractContextManager[Workspace]]


class Opening:
    """Opens a project again and again, given how, with the manifest that was read before.

    All that the declarations depend on is looked at each time.
    """

    def __init__(self, open: Open) -> None:
        self._open = open
        self._before: Manifest | None = None

    @contextmanager
    def __call__(self) -> Iterator[Workspace]:
        """Open the project."""
        with self._open(self._before) as workspace:
            self._before = workspace.project.manifest
            yield workspace

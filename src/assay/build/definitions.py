"""Definitions of products, imported by the first thread that needs them."""

from threading import Lock

from assay.declare.project import Project
from assay.declare.resolve import Definition


class Definitions:
    """The definitions of a project, by product. Any thread may use it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._reading = Lock()

    def __getitem__(self, product: str) -> Definition:
        with self._reading:
            return self.project.definitions()[product]

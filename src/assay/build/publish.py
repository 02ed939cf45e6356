"""Publishes the versions of one run that passed, each set of products in one transaction."""

from collections.abc import Mapping, Sequence

from assay.build.workspace import Workspace
from assay.decisions import Publish
from assay.facts import Move, Release
from assay.plan.graph import Graph
from assay.plan.observed import Facts
from assay.plan.waivers import waivers_of


class Publisher:
    """Moves pointers to versions, unless another run has moved them since they were observed."""

    def __init__(self, workspace: Workspace, graph: Graph, facts: Facts, run: str) -> None:
        self.workspace, self.graph, self.facts, self.run = workspace, graph, facts, run
        self._releases: dict[str, int] = {}  # by product that this run has moved

    def publish(self, passed: Sequence[Publish]) -> Release:
        """Publish versions that passed in one release.

        Raises Conflict if the pointer of one of these products, or of its inputs, was moved by
        another run, or a waiver or an approval that let one through was withdrawn.
        """
        moves = [self._move(end) for end in passed]
        release = self.workspace.catalog.release(
            self.workspace.environment,
            moves,
            self._expected([move.product for move in moves]),
            run=self.run,
            at=self.workspace.clock(),
            why="materialize",
        )
        self._releases |= {move.product: release.id for move in moves}
        return release

    def _move(self, end: Publish) -> Move:
        pointer = self.facts.pointer(end.version.product)
        return Move(
            product=end.version.product,
            version=end.version.id,
            previous=pointer.version if pointer else "",
            waivers=waivers_of(end.verdict),
            approvals=end.approvals,
        )

    def _expected(self, products: Sequence[str]) -> Mapping[str, int]:
        """Return the releases of the pointers of products and their inputs; 0 without a pointer."""
        names = {*products, *(read for p in products for read in self.graph.products[p].reads)}
        expected = {}
        for name in names & self.graph.products.keys():
            pointer = self.facts.pointer(name)
            observed = pointer.release if pointer else 0
            expected[name] = self._releases.get(name, observed)
        return expected

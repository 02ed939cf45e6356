"""What the user asks of a run, and how the run goes about it."""

from collections.abc import Mapping

from msgspec import Struct, field

from assay.plan.waivers import Restatement


class RunOptions(Struct, frozen=True, kw_only=True):
    """How a run goes about it: products at a time (0: as many as is good), how long it may `wait` for other runs (in
    seconds), and whether it looks again at a source of which a file was replaced while it was read.
    """

    jobs: int = 0
    fail_fast: bool = False
    wait: float = 0.0
    looks_again: bool = True


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked for: which products, which of them to build whatever the ladder says, and of which failing
    rows may go out that were looked at. `part_range` are those to build now (`A..B`), '' for all.
    """

    products: frozenset[str]
    forced: frozenset[str] = frozenset()
    restated: Mapping[str, Restatement] = field(default_factory=dict)
    part_range: str = ""

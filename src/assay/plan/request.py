"""What the user asks of a run: products, parts, and options of the run."""

from collections.abc import Mapping

from msgspec import Struct, field

from assay.plan.restatements import Restatement


class RunOptions(Struct, frozen=True, kw_only=True):
    """Options of a run.

    - `jobs`: how many products are worked on at a time; 0 for a number that suits the machine.
    - `fail_fast`: whether the first failure stops the run.
    - `wait`: seconds to wait for other runs that build the same products.
    - `looks_again`: whether sources are observed again when a file was replaced during a build.
    """

    jobs: int = 0
    fail_fast: bool = False
    wait: float = 0.0
    looks_again: bool = True


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked for.

    - `products`: full names of the selected products.
    - `forced`: products to build although nothing changed.
    - `from_start`: products that are built without their `previous`.
    - `restated`: failing rows that may be published because the user examined them, by product.
    - `part_range`: the parts to build now, `A..B`; '' for all.
    - `asked`: the command in words, as `products runs` shows it.
    """

    products: frozenset[str]
    forced: frozenset[str] = frozenset()
    from_start: frozenset[str] = frozenset()
    restated: Mapping[str, Restatement] = field(default_factory=dict)
    part_range: str = ""
    asked: str = "execute"

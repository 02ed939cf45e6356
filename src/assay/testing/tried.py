"""What came of a product that a test has built: its rows, its file, and what its rules found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace
from assay.engines import polars as lazy
from assay.engines.tables import stored
from assay.events import Result
from assay.facts import RuleResult, Status, Version
from assay.model import THIS, Kind, Product
from assay.views.rules import failures

if TYPE_CHECKING:
    import polars as pl


class Tried(Struct, kw_only=True):
    """What came of building a product from given inputs.

    - `frame`: the rows; None for a product that is a file.
    - `path`: the file, of a product that is one.
    - `aside`: the rows that rules set aside; None when no rule does.
    - `rules`: the results of its rules, in the order of the contract.
    - `found`: the rows that each rule found, by its text.
    - `skipped`: rules that were not judged, as a product that they read is not given, each with its
      name.
    - `error`, `detail`: why it could not be built.
    """

    product: Product
    frame: "pl.DataFrame | None" = None
    path: Path | None = None
    aside: "pl.DataFrame | None" = None
    parts: tuple[str, ...] = ()
    rules: Sequence[RuleResult] = ()
    found: "Mapping[str, pl.DataFrame]" = {}
    skipped: Mapping[str, str] = {}
    error: str = ""
    detail: str = ""

    @property
    def held_by(self) -> tuple[str, ...]:
        """The rules that keep it from being published: failed, or could not be judged."""
        holding = {Status.FAILED, Status.ERROR}
        return tuple(rule.text for rule in self.rules if rule.status in holding)

    def found_by(self, rule: str) -> "pl.DataFrame":
        """Return the rows that a rule (by its text) found, without columns if there are none."""
        return self.found.get(rule, _no_rows())


def _no_rows() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame()


def tried_of(
    workspace: Workspace, product: Product, result: Result, version: Version, before: str
) -> Tried:
    """Return a version as tried; `before` is the version that was published when it was built."""
    import polars as pl

    tried = Tried(product=product)
    if result.unbuilt:
        part, failed = next(iter(result.unbuilt.items()))
        tried.error, tried.detail = f"part {part}: {failed.error}", failed.detail
    storage = workspace.storage
    if product.kind is Kind.FILE:
        tried.path = stored(version, storage, version.parts).files[0]
        return tried
    inputs, _ = inputs_as_of_now(workspace, workspace.observe())
    tried.frame = lazy.parquet(inputs.files_of_version(THIS, THIS, version).table).collect()
    if version.in_parts:
        tried.parts = tuple(part.key for part in version.parts if part.key)
    if asides := version.asides:
        tried.aside = lazy.parquet(stored(version, storage, asides)).collect()
    judged = _as_built(workspace, version, before)
    verdicts = workspace.catalog.verdicts(judged.id)
    if verdicts:
        tried.rules = verdicts[-1].results
    found: dict[str, pl.DataFrame] = {}
    rules = {rule.text: rule for rule in product.contract.rules}
    for rule in tried.rules:
        if rule.failing:
            with failures(workspace.project, inputs, product, judged, rules[rule.text]) as answer:
                names, rows = answer
                found[rule.text] = pl.DataFrame(
                    [*rows], schema=names, orient="row", infer_schema_length=None
                )
    tried.found = found
    return tried


def _as_built(workspace: Workspace, version: Version, before: str) -> Version:
    """Return the version that was built, before published parts took the place of failed ones."""
    if not version.key.held:
        return version
    versions = workspace.catalog.versions(version.product)
    whole = [one for one in versions if not one.key.held and one.id != before]
    return whole[0] if whole else version

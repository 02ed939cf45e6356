"""Records what versions that are held back would change of what readers have, and restated ones did."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from assay.build.inputs import Inputs
from assay.catalog.catalog import Catalog
from assay.plan.observed import Facts
from assay.plan.verdicts import what_changes


def record_changes(
    catalog: Catalog, inputs: Inputs, facts: Facts, ends: Mapping[str, object]
) -> None:
    """Record the figures of versions that are held back or restated, each pair of versions once.

    What cannot be compared is left out: no run fails because of this.
    """
    found = [pair for end in ends.values() if (pair := what_changes(end, facts))]
    pairs = [(old, new) for old, new in found if not facts.difference(old.id, new.id)]
    if not pairs:
        return
    from assay.build.differences import figures_of  # most runs hold nothing back
    from assay.catalog.differences import add_figures

    for before, after in pairs:
        with suppress(Exception):
            figures = figures_of(inputs, inputs.graph.products[after.product], before, after)
            catalog.write(partial(add_figures, before=before.id, after=after.id, figures=figures))

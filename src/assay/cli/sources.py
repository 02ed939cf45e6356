"""The sources that a query of a verb reads."""

from collections.abc import Sequence
from contextlib import suppress

import click

from assay.cli.opening import opened
from assay.errors import DeclarationError, UsageError
from assay.text import clean
from assay.views.query import Sources
from assay.views.source_rows import source_tables, sources_named
from assay.views.sources import source_statuses


def sources_of(env: str | None, as_of: str | None, names: Sequence[str]) -> Sources:
    """Return the sources among these names, which are not published.

    A note says which of their files changed since the last run. Raises UsageError with `as_of`.
    """
    # Where there is no source, the refusal of the query says what is published.
    with suppress(DeclarationError), opened(env, last_good=True) as workspace:
        named = sources_named(workspace.graph, names)
        if not named:
            return Sources()
        if as_of is not None:
            name = min(named.values())
            hint = f"With keep=True, what is read of {name} from then on is kept."
            raise UsageError(f"{name} is a source that is not kept: no --as-of", hint=hint)
        observed = workspace.observe()
        sources = [workspace.graph.sources[name] for name in sorted(set(named.values()))]
        for status in source_statuses(workspace, observed, sources, {}):
            if status.because and status.files:
                click.echo(clean(f"  {status.product}: {status.because}"), err=True)
        return source_tables(workspace, observed, named)
    return Sources()

"""The verb `products watch`: what a run that is under way does, line by line."""

import time
from collections.abc import Callable
from contextlib import closing

import click

from assay.catalog import shared_catalog
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.text import clean
from assay.views.activity import Activity, happened_line
from assay.views.json_text import to_json
from assay.views.words.numbers import second

_TICK = 0.5  # seconds between two looks at what was recorded


@click.command("watch")
@options(ENV, JSON)
def verb(env: str | None, as_json: bool) -> None:
    """Print what runs do, line by line, as it is recorded.

    Of a run that is under way, and of later ones. Changes nothing. Stop it with Ctrl-C.
    """
    follow(env, as_json=as_json, is_over=lambda: False)


def follow(env: str | None, *, as_json: bool, is_over: Callable[[], bool]) -> None:
    """Print what runs do until `is_over`, which is asked after each look at what was recorded."""
    with opened(env, reads=False, last_good=True) as workspace:
        config = workspace.config
        activity = Activity(workspace.catalog, workspace.environment)
    is_first = True
    while True:
        with closing(shared_catalog(config)) as catalog:
            for view in activity.news(catalog):
                line = f"{second(view.at)} {happened_line(view)}"
                click.echo(to_json(view) if as_json else clean(line))
        if is_first and not activity.is_under_way and not as_json:
            click.echo("  no run is under way: waiting for the next, Ctrl-C ends this", err=True)
        is_first = False
        if is_over():
            return
        time.sleep(_TICK)

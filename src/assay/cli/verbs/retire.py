"""The verb `products retire`: unpublishes products that are no longer declared."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.build.release import retire
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json
from assay.facts import short
from assay.text import clean


@click.command("retire")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--because", metavar="TEXT", default="", help="The reason, which is recorded with the release."
)
@options(ENV, NOW, JSON)
def verb(
    names: Sequence[str], because: str, env: str | None, now: datetime | None, as_json: bool
) -> None:
    """Unpublish products that are no longer declared; `restore` brings one back."""
    with opened(env, now) as workspace:
        workspace.check_now(now)
        retired = retire(workspace, {workspace.resolve(name) for name in names}, because)
    if as_json:
        versions = [{"product": name, "version": v} for name, v in retired.versions.items()]
        return print_json(
            {
                "result": "retired",
                "release": retired.release,
                "because": retired.because,
                "products": versions,
            }
        )
    for product, id in retired.versions.items():
        name, version = clean(product), short(id)
        click.echo(
            f"  retired  {name}  {version}  `products restore {name} {version}` brings it back"
        )
    return None

"""The verb `products serve`: pages about all products, live."""

from pathlib import Path

import click

from assay.cli.options import ENV, options
from assay.errors import UsageError
from assay.web.app import application
from assay.web.look import looking


@click.command("serve")
@options(ENV)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65535), default=8020, show_default=True, metavar="N")
def verb(env: str | None, host: str, port: int) -> None:
    """Serve pages about all products: what each is, whether it is right and on time, who decides.

    Nothing can be changed there. Stop it with Ctrl-C.
    """
    try:
        import uvicorn
    except ImportError:
        raise UsageError(
            "serving pages needs the package uvicorn", hint="pip install 'assay[web]'"
        ) from None
    with looking(env) as (look, _):  # mistakes are shown here, not on a page
        click.echo(f"  {look.project}: http://{host}:{port}/", err=True)
    app = application(Path.cwd(), env)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)

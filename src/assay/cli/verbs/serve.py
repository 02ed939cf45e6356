"""The verb `products serve`: pages about all products, live."""

import socket
from pathlib import Path

import click

from assay.cli.options import ENV, JSON, options
from assay.errors import UsageError
from assay.views.json_text import to_json
from assay.views.view import View
from assay.web.actions import allowed
from assay.web.looks import Looks


class ServedView(View, frozen=True, kw_only=True):
    """Where pages are served."""

    url: str


@click.command("serve")
@options(ENV, JSON)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen on; whoever reaches it sees every page.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8020,
    show_default=True,
    metavar="N",
    help="The port to listen on; 0 for any that is free.",
)
@click.option(
    "--allow",
    default="",
    metavar="WHAT",
    help="Let people do this on the pages: approve, waive, or both, with a comma between.",
)
@click.option(
    "--user-header",
    default="",
    metavar="NAME",
    help="With --allow: the header in which a reverse proxy names the user.",
)
@click.option(
    "--trust",
    multiple=True,
    default=("127.0.0.1", "::1"),
    show_default=True,
    metavar="ADDRESS",
    help="With --allow: the address of the reverse proxy; repeatable.",
)
def verb(
    env: str | None,
    as_json: bool,
    host: str,
    port: int,
    allow: str,
    user_header: str,
    trust: tuple[str, ...],
) -> None:
    """Serve pages about all products: is each right and on time, and who decides from it.

    Without --allow, nothing can be changed there. Stop it with Ctrl-C.
    """
    allows = allowed(allow, user_header, trust)
    try:
        import uvicorn

        from assay.web.app import application
    except ImportError as error:
        raise UsageError(
            f"serving pages needs the package {error.name}", hint="pip install 'assay[web]'"
        ) from None
    looks = Looks(Path.cwd(), env)
    project = looks.now().project  # mistakes are reported here, not on a page
    config = uvicorn.Config(
        application(looks, allows), log_level="warning", access_log=False, lifespan="off"
    )
    with _listening(host, port) as sock:
        at = f"[{host}]" if ":" in host else host
        url = f"http://{at}:{sock.getsockname()[1]}/"
        if as_json:
            click.echo(to_json(ServedView(url=url)))
        else:
            click.echo(f"  {project}: {url}", err=True)
        uvicorn.Server(config).run(sockets=[sock])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)  # whoever asks from now on is answered
    except OSError as error:
        sock.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another --port."
        ) from None
    return sock

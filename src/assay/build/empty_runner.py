"""Runs in a child process: runs functions of products on empty inputs, and replies with lineage.

A request and a reply are a line of JSON each. While a function runs, writing files, starting
processes and connecting are refused, also to what is not written in Python where the system can: it
is run for its plan, and must change nothing.
"""

import os
import sys
from contextlib import redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from msgspec import Struct
from msgspec.json import decode

from assay.build.harmless import Guard
from assay.build.readonly import become_readonly
from assay.build.supervisor import supervised
from assay.declare.project import Project, open_project
from assay.engines.empty_run import run_empty
from assay.engines.empty_values import Values, noting_values
from assay.errors import Conflict
from assay.jsonform import encode
from assay.model import Column
from assay.plan.flows import TableFlows
from assay.plan.misfits import Traced, unchecked
from assay.text import clean

_CHANGED = "its code is another one in the process that runs it: run this again"


class Opening(Struct, frozen=True, kw_only=True):
    """Which project the requests are about, and the moment that counts as now."""

    root: str
    now: datetime


class Request(Struct, frozen=True, kw_only=True):
    """A product with the digest of its code, and the columns of its inputs by full name."""

    product: str
    code: str
    columns: dict[str, list[Column]]


def run() -> None:
    """Answer requests until there are no more."""
    requests, replies, lifeline, parent = map(int, sys.argv[1:])
    supervised(parent, lifeline, requests, replies)
    for pipe in (requests, replies):
        os.set_inheritable(pipe, False)
    sys.dont_write_bytecode = True
    # Nothing that the user's code prints may become a reply.
    with os.fdopen(requests, "rb") as messages, redirect_stdout(sys.stderr):
        opening = decode(messages.readline(), type=Opening)
        project = open_project(Path(opening.root))
        project.set_clock(opening.now)
        with suppress(Conflict):  # each product is compared below
            project.definitions()
        become_readonly()
        with noting_values() as values:
            _serve(project, values, messages, replies)
    os._exit(0)


def _serve(project: Project, values: Values, messages: IO[bytes], replies: int) -> None:
    guard = Guard("it is run without rows")
    _send(replies, Traced(flows=TableFlows()))
    while message := messages.readline():
        request = decode(message, type=Request)
        product = project.graph.products[request.product]
        recipe = project.definitions()[request.product].recipe
        if recipe is None or product.code.digest != request.code:
            _send(replies, unchecked(_CHANGED, fleeting=True))
            continue
        try:
            with guard():
                traced = run_empty(product, recipe, request.columns, project.config.root, values)
        except BaseException as error:  # such as SystemExit
            traced = unchecked(clean(f"its function, run without rows, raised {error!r}"))
        _send(replies, traced)


def _send(replies: int, traced: Traced) -> None:
    message = encode(traced) + b"\n"
    while message:
        message = message[os.write(replies, message) :]


if __name__ == "__main__":
    run()

"""Runs in a child process that builds one product: reads requests and writes replies, by pipes."""

import atexit
import faulthandler
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout, suppress
from functools import partial
from typing import IO, Any

from assay.build.error_text import RemoteError, describe_error
from assay.build.failures import words_of_code
from assay.build.memory import highest
from assay.build.messages import (
    MakeReply,
    Reply,
    Task,
    decode_request,
    decode_task,
    encode_reply,
)
from assay.build.retries import worth_another
from assay.build.supervisor import supervised
from assay.build.undeclared import reading
from assay.config import Config, find_config
from assay.declare.accesses import noticing
from assay.declare.files import definition_paths
from assay.declare.imports import Local, domain_of, load
from assay.declare.manifest import read_manifest
from assay.declare.project import open_project
from assay.declare.words import Collected, ProductDeclaration
from assay.engines.duckdb import DuckDB
from assay.engines.make import Recipe, make
from assay.engines.measure import measure
from assay.errors import BuildError
from assay.model import Product
from assay.plan.graph import Graph
from assay.plan.moments import with_moment
from assay.store.permissions import make_folder
from assay.text import sayable


def run() -> None:
    """Answer requests until there are no more, and end without tearing down the interpreter."""
    requests, replies, lifeline, parent = map(int, sys.argv[1:])
    supervised(parent, lifeline, requests, replies)
    for pipe in (requests, replies):
        os.set_inheritable(pipe, False)
    faulthandler.enable(all_threads=False)  # only the thread that crashed: the others are ours
    # Nothing that the user's code prints may become a reply.
    with os.fdopen(requests, "rb") as messages, redirect_stdout(sys.stderr):
        if opening := messages.readline():
            _serve(messages, replies, decode_task(opening))
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


def _serve(messages: IO[bytes], replies: int, task: Task) -> None:
    """Reply that the child is ready, then to each request; end after a failure to get ready."""
    try:
        maker = _Maker(task)
    except BaseException as error:
        _send(replies, _remote_error(task, error))
        messages.readline()  # the run decides when this process ends
        return
    _send(replies, None)
    while message := messages.readline():
        _send(replies, _answer(task, maker, message))


def _send(replies: int, reply: Reply) -> None:
    sys.stderr.flush()
    message = encode_reply(reply)
    while message:
        message = message[os.write(replies, message) :]


def _answer(task: Task, maker: "_Maker", message: bytes) -> Reply:
    try:
        return maker.make(message)
    except BaseException as error:  # the user's code may raise any
        return _remote_error(task, error)


def _remote_error(task: Task, error: BaseException) -> RemoteError:
    return RemoteError(
        type(error).__name__,
        describe_error(error, str(task.root), task.product),
        retryable=worth_another(error),
        words=words_of_code(error),
    )


class _Maker:
    """Builds files of one product; its definition and engine are loaded before time is counted."""

    def __init__(self, task: Task) -> None:
        config = find_config(task.root)
        self._product, self._local = task.product, Local(config)
        self._recipe: Recipe | None = None
        if task.handovers is not None:
            function = _function(config, task.product)
            self._recipe = Recipe(function=function, handovers=task.handovers, target=task.target)
        with suppress(OSError):
            make_folder(task.spill.parent)
        self._engine = DuckDB(task.folders, task.spill, task.limits, until=task.until)

    def make(self, message: bytes) -> MakeReply:
        """Build the file of a request."""
        request = decode_request(message)
        checked = partial(measure, part_check=request.part_check)
        accesses = reading(self._local)
        with noticing(accesses):
            measured = make(
                self._product,
                self._recipe,
                request.inputs,
                request.target,
                self._engine,
                measure=checked,
            )
        files = accesses.files.keys() - accesses.written
        return MakeReply(
            measured=measured,
            files=tuple(map(sayable, files)),
            variables=tuple(map(sayable, accesses.variables)),
            peak=highest(),
        )


def _function(config: Config, product: Product) -> Callable[..., Any]:
    """Return the function that builds a product; raise BuildError if its code has changed.

    Only its own module is imported, if the manifest is valid; otherwise the whole project.
    """
    own = [path for path in definition_paths(config) if path == product.where.file]
    loaded = load(config, Local(config), own)
    functions = list(_functions(config, loaded.declarations, product.name))
    graph = read_manifest(config)
    if graph is None or len(functions) != 1 or loaded.problems:
        graph, functions = _from_project(config, product.name)
    declared = graph.products.get(product.name)
    if declared and product.moment:
        declared = with_moment(declared, product.moment)
    if not functions or declared is None or declared.code.digest != product.code.digest:
        raise BuildError("the definitions changed while they were being used", hint="Run it again.")
    return functions[0]


def _functions(
    config: Config, declarations: Iterable[Collected], name: str
) -> Iterator[Callable[..., Any]]:
    """Yield the functions that are declared for a product."""
    for declaration in declarations:
        if isinstance(declaration, ProductDeclaration) and not isinstance(declaration.make, str):
            domain = declaration.domain or domain_of(config, declaration.module)
            if f"{domain}.{declaration.name}" == name:
                yield declaration.make


def _from_project(config: Config, name: str) -> tuple[Graph, list[Callable[..., Any]]]:
    """Return the graph of the project, and the function of a product, if it has one."""
    project = open_project(config.root)
    if name not in project.graph.products:
        return project.graph, []
    recipe = project.definitions()[name].recipe
    return project.graph, [recipe.function] if recipe else []


if __name__ == "__main__":
    run()

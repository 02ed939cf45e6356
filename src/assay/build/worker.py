"""The process in which a product is made by itself: told what on one pipe, it says on another what came of it."""

import atexit
import faulthandler
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import partial
from typing import IO, Any

from assay.build.failures import Elsewhere, said_of, words_behind
from assay.build.messages import Made, Reply, Task, reply_to, request_from, task_from
from assay.build.retries import worth_another
from assay.build.supervisor import supervised
from assay.build.undeclared import reading
from assay.config import Config, find_config
from assay.declare.accesses import noticing
from assay.declare.imports import Local, domain_of, load
from assay.declare.manifest import read_manifest
from assay.declare.project import open_project
from assay.declare.words import ProductDeclaration
from assay.engines.duckdb import DuckDB
from assay.engines.make import Recipe, make
from assay.engines.measure import measure
from assay.errors import BuildError
from assay.model import Product
from assay.plan.moments import at_moment
from assay.store.permissions import make_folder
from assay.text import sayable


def run() -> None:
    """Make what is asked for until nothing more is, and leave without taking the interpreter down piece by piece."""
    requests, replies, lifeline, parent = map(int, sys.argv[1:])
    supervised(parent, lifeline, requests, replies)
    for pipe in (requests, replies):
        os.set_inheritable(pipe, False)
    faulthandler.enable(all_threads=False)  # of a crash, the thread that did: others are ours
    with (
        os.fdopen(requests, "rb") as messages,
        redirect_stdout(sys.stderr),
    ):  # what users' code prints is no reply
        if opening := messages.readline():
            _serve(messages, replies, task_from(opening))
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


def _serve(messages: IO[bytes], replies: int, task: Task) -> None:
    makes: list[Callable[[bytes], Reply]] = []
    reply = _tried(task, lambda: makes.append(_maker(task)))
    while True:
        _say(replies, reply)
        message = messages.readline()
        if not message or not makes:
            return
        reply = _tried(task, partial(makes[0], message))


def _say(replies: int, reply: Reply) -> None:
    sys.stderr.flush()
    message = reply_to(reply)
    while message:
        message = message[os.write(replies, message) :]


def _tried(task: Task, work: Callable[[], Any]) -> Reply:
    """Return what came of some work, whatever it raised: it is the users' code that did."""
    try:
        return work()  # type: ignore[no-any-return]
    except BaseException as error:
        failed = said_of(error, str(task.root), task.product)
        return Elsewhere(
            type(error).__name__, failed, again=worth_another(error), words=words_behind(error)
        )


def _maker(task: Task) -> Callable[[bytes], Reply]:
    """Return what makes a file; what it takes is read before time is counted."""
    config, product, recipe = find_config(task.root), task.product, None
    local = Local(config)
    if task.handovers is not None:
        recipe = Recipe(
            function=_function(config, product), handovers=task.handovers, target=task.takes
        )
    with suppress(OSError):
        make_folder(task.spill.parent)
    engine = DuckDB(task.folders, task.spill, task.limits)

    def made(message: bytes) -> Reply:
        asked = request_from(message)
        told = partial(measure, part_check=asked.part_check)
        with noticing(accesses := reading(local)):
            measured = make(product, recipe, asked.inputs, asked.target, engine, measure=told)
        files = accesses.files.keys() - accesses.written
        return Made(
            measured=measured,
            files=tuple(map(sayable, files)),
            variables=tuple(map(sayable, accesses.variables)),
        )

    return made


def _function(config: Config, product: Product) -> Callable[..., Any]:
    """Return the function that makes a product; BuildError when that is no longer the code that was planned with.

    Only the module that declares it is imported, where the manifest says that this is as it was.
    """
    loaded = load(config, Local(config), config.root / product.where.file)
    found = [
        d.make
        for d in loaded.declarations
        if isinstance(d, ProductDeclaration)
        and f"{d.domain or domain_of(config, d.module)}.{d.name}" == product.name
        and not isinstance(d.make, str)
    ]
    graph = read_manifest(config)
    if graph is None or len(found) != 1 or loaded.problems:
        project = open_project(config.root)
        recipe = (
            project.definitions()[product.name].recipe
            if product.name in project.graph.products
            else None
        )
        graph, found = project.graph, [recipe.function] if recipe else []
    planned = graph.products.get(product.name)
    planned = at_moment(planned, product.moment) if planned and product.moment else planned
    if not found or planned is None or planned.code.digest != product.code.digest:
        raise BuildError("the definitions changed while they were being used", hint="Run it again.")
    return found[0]


if __name__ == "__main__":
    run()

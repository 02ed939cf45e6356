"""Runs in a child process: reads the declarations in a folder, and replies with their graph.

The reply is one JSON value. While the declarations are read, writing files, starting processes and
connecting are refused.
"""

import importlib
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from msgspec import Raw, Struct

from assay.build.harmless import Guard
from assay.build.supervisor import supervised
from assay.config import FILE, PACKAGE
from assay.declare.manifest import encoded_graph
from assay.declare.project import open_project
from assay.errors import DeclarationError, UsageError
from assay.jsonform import encode

_ENGINES = ("duckdb", "polars", "pandera.polars")


class Mistake(Struct, frozen=True, kw_only=True):
    """A mistake in the declarations: what is wrong, and where."""

    what: str
    file: str = ""
    line: int = 0


class Reply(Struct, frozen=True, kw_only=True):
    """The graph as in a manifest, or the mistakes."""

    graph: Raw = Raw(b"null")
    mistakes: tuple[Mistake, ...] = ()


def run() -> None:
    """Read the declarations in the working directory; `sys.argv` has the pipes and more.

    The last argument is the folder of the project as it is now: what the interpreter would import
    from there, it imports from the working directory instead.
    """
    replies, lifeline, parent = map(int, sys.argv[1:4])
    supervised(parent, lifeline, replies)
    os.set_inheritable(replies, False)
    sys.dont_write_bytecode = True
    with redirect_stdout(sys.stderr):  # nothing that the user's code prints may become a reply
        _move_imports(Path(sys.argv[4]), Path.cwd())
        for name in _ENGINES:  # before the guard: they may look at the machine
            importlib.import_module(name)
        with Guard("it is read to be compared with")():
            reply = encode(_reply(Path.cwd()))
    while reply:
        reply = reply[os.write(replies, reply) :]
    os._exit(0)


def _move_imports(now: Path, then: Path) -> None:
    """Let imports from the project as it is now be from the project as it was then."""
    ours = Path(PACKAGE).parent
    for number, entry in enumerate(sys.path):
        path = Path(entry)
        is_installed = path == ours or path.is_relative_to(sys.prefix)
        if not is_installed and path.is_relative_to(now):
            sys.path[number] = str(then / path.relative_to(now))


def _reply(folder: Path) -> Reply:
    try:
        project = open_project(folder)
    except DeclarationError as error:
        mistakes = [
            Mistake(what=p.what, file=p.where.file, line=p.where.line) for p in error.problems
        ]
        return Reply(mistakes=tuple(mistakes))
    except UsageError as error:
        return Reply(mistakes=(Mistake(what=error.what),))
    except BaseException as error:  # such as SystemExit
        return Reply(mistakes=(Mistake(what=f"reading it raised {error!r}"),))
    if project.config.root != folder:
        return Reply(mistakes=(Mistake(what=f"there is no {FILE} with [tool.products]"),))
    return Reply(graph=Raw(encoded_graph(project.graph)))


if __name__ == "__main__":
    run()

"""Reads what a project declares: imports its definitions, resolves them, and keeps what they say for the next run."""

import difflib
import os
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from assay.config import FILE, Config
from assay.declare.imports import Local, load
from assay.declare.manifest import (
    keep_functions,
    keep_queries,
    made_from,
    package_versions,
    reads_digest,
    reads_files,
    recall_functions,
    recall_queries,
    relative,
    write_manifest,
)
from assay.declare.resolve import Resolved, resolve
from assay.engines.sql import reader
from assay.errors import Problem, UsageError
from assay.model import Where

_READS = 'Name a file, a folder, a glob such as "sql/**/*.sql", or $VARIABLE; files are relative to the project.'


def read_definitions(config: Config) -> Resolved:
    """Import the definitions, and keep what they say for the next run."""
    folder = config.root / config.definitions
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {config.definitions!r} in {config.root}",
            hint="`products init` makes one.",
        )
    before = made_from(config, ())
    queries, functions = recall_queries(config), recall_functions(config)
    local = Local(config, functions)
    loaded = load(config, local)
    loaded.problems += [*_wrong_reads(config), *_wrong_packages(config), *_closed_folders(local)]
    with reader.recalling(queries) as parsed:
        resolved = resolve(config, loaded, local, reads_digest(config))
    files: list[Path | str] = [
        *loaded.files,
        *resolved.files,
        *local.looked_at,
        *local.absent,
        *local.searched,
        *local.read_by(),
    ]
    stamp = made_from(config, relative(config, files))
    if before == made_from(config, ()):  # nothing was edited while it was being read
        if parsed.keys() != queries.keys():
            keep_queries(config, parsed)
        if local.known != functions:
            keep_functions(config, local.known)
        write_manifest(
            config, resolved.graph, files, stamp
        )  # last: who is killed before reads all of it again
    return resolved


def _closed_folders(local: Local) -> Iterator[Problem]:
    """Yield a problem for each folder that modules listed and that cannot be read: a glob finds nothing in it."""
    for folder in [path[:-1] for path in local.read_by() if path.endswith("/")]:
        try:
            with os.scandir(folder):
                pass
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            what = f"cannot look into {local.inside(folder)}: {error.strerror}"
            where = Where(local.inside(min(local.accesses.folders[folder], default=folder)))
            yield Problem(
                what=what,
                where=where,
                hint="What it has in it may declare products: they are not gone.",
            )


def _wrong_reads(config: Config) -> Iterator[Problem]:
    """Yield a problem for each name in `reads` that names nothing: a change of what was meant would never be seen."""
    lines = (config.root / FILE).read_text(encoding="utf-8").splitlines()
    for name in config.reads:
        if name == "$" or not (name.startswith("$") or reads_files(config, name)):
            line = next(
                (number for number, text in enumerate(lines, 1) if f"{name!r}"[1:-1] in text), 0
            )
            what = f"{name!r} in reads matches no file"
            yield Problem(
                what=what, where=Where(FILE, line), hint=_similar(config.root, name) or _READS
            )


def _wrong_packages(config: Config) -> Iterator[Problem]:
    """Yield a problem for each name in `packages` that is not that of an installed package."""
    for name, version in package_versions(config).items():
        if not version:
            names = {str(other.metadata["Name"]) for other in distributions()}
            close = difflib.get_close_matches(name, names, n=1)
            hint = (
                f"Did you mean {close[0]!r}?"
                if close
                else "Name it as it is installed (`pip list`)."
            )
            yield Problem(
                what=f"{name!r} in packages is not installed", where=Where(FILE), hint=hint
            )


def _similar(root: Path, name: str) -> str:
    """Return what may have been meant by a path: the first part of it that is not there, beside what is."""
    place = Path()
    for part in Path(name).parts:
        if not (root / place / part).exists():
            names = (
                [path.name for path in (root / place).iterdir()] if (root / place).is_dir() else []
            )
            close = difflib.get_close_matches(part, names, n=1)
            return f"Did you mean {str(place / close[0])!r}?" if close else ""
        place /= part
    return ""

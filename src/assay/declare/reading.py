"""Reads the declarations of a project: imports and resolves them, and stores the manifest."""

import difflib
import os
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from assay.config import FILE, Config
from assay.declare.dependencies import (
    Modules,
    made_from,
    modules_now,
    package_versions,
    reads_digest,
    reads_files,
    relative,
)
from assay.declare.imports import Local, load
from assay.declare.manifest import (
    CONTRACTS,
    read_cache,
    read_functions,
    read_queries,
    write_cache,
    write_functions,
    write_manifest,
    write_queries,
)
from assay.declare.past_queries import remember_queries
from assay.declare.recalled_contracts import KnownContract, RecalledContracts
from assay.declare.resolve import Resolved, resolve
from assay.engines.sql import reader
from assay.errors import Problem, UsageError
from assay.model import Where
from assay.plan.names import nearest

_READS = (
    'Name a file, a folder, a glob such as "sql/**/*.sql", or $VARIABLE;'
    " files are relative to the project."
)


def read_definitions(config: Config, modules: Modules) -> Resolved:
    """Import and resolve the definitions, and store the manifest and the caches for the next run.

    `modules` are the definition modules as they were just now: nothing is stored for the next run
    if they change while they are read.

    Raises DeclarationError with every problem, UsageError when there is no folder of definitions.
    """
    folder = config.root / config.definitions
    if not folder.is_dir():
        folders = [
            path.name for path in config.root.iterdir() if path.is_dir() and path.name[0] != "."
        ]
        raise UsageError(
            f"there is no folder {config.definitions!r} in {config.root}, where the definitions should be",
            hint=nearest(config.definitions, folders)
            or f"Make it, or set definitions in {FILE} to the folder that has them.",
        )
    queries, functions = read_queries(config), read_functions(config)
    contracts = RecalledContracts(read_cache(config, CONTRACTS, dict[str, KnownContract]))
    local = Local(config, functions)
    loaded = load(config, local, [path for path, _ in modules])
    loaded.problems += [*_wrong_reads(config), *_wrong_packages(config), *_closed_folders(local)]
    with reader.recalling(queries) as parsed:
        resolved = resolve(config, loaded, local, reads_digest(config), contracts)
    files: list[Path | str] = [
        *loaded.files,
        *resolved.files,
        *local.parsed_files,
        *local.absent,
        *local.searched_folders,
        *local.read_by(),
    ]
    paths = relative(config, files, modules)
    after = modules_now(config)
    stamp = made_from(config, paths, after)
    if after == modules:  # no definition module was edited meanwhile
        if parsed.keys() != queries.keys():
            write_queries(config, parsed)
            remember_queries(config, resolved.graph)
        if contracts.used.keys() != contracts.known.keys():
            write_cache(config, CONTRACTS, contracts.used)
        if local.caches != functions:
            write_functions(config, local.caches)
        # Last: a process killed before this reads the definitions again next time.
        write_manifest(config, resolved.graph, paths, stamp)
        resolved.made_from, resolved.files_read = stamp, paths
    return resolved


def _closed_folders(local: Local) -> Iterator[Problem]:
    """Yield a problem for each folder that modules listed and cannot read."""
    for folder in [path[:-1] for path in local.read_by() if path.endswith("/")]:
        try:
            with os.scandir(folder):
                pass
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            listed_by = min(local.accesses.folders[folder], default=folder)
            yield Problem(
                what=f"cannot look into {local.inside(folder)}: {error.strerror}",
                where=Where(local.inside(listed_by)),
                hint="What it has in it may declare products: they are not gone.",
            )


def _wrong_reads(config: Config) -> Iterator[Problem]:
    """Yield a problem for each name in `reads` that matches no file."""
    lines = (config.root / FILE).read_text(encoding="utf-8").splitlines()
    for name in config.reads:
        is_variable = name.startswith("$") and name != "$"
        if is_variable or (name != "$" and reads_files(config, name)):
            continue
        quoted = f"{name!r}"[1:-1]
        line = next((number for number, text in enumerate(lines, 1) if quoted in text), 0)
        yield Problem(
            what=f"{name!r} in reads matches no file",
            where=Where(FILE, line),
            hint=_similar(config.root, name) or _READS,
        )


def _wrong_packages(config: Config) -> Iterator[Problem]:
    """Yield a problem for each name in `packages` that is not that of an installed package."""
    for name, version in package_versions(config).items():
        if version:
            continue
        installed = {str(package.metadata["Name"]) for package in distributions()}
        close = difflib.get_close_matches(name, installed, n=1)
        hint = (
            f"Did you mean {close[0]!r}?" if close else "Name it as it is installed (`pip list`)."
        )
        yield Problem(what=f"{name!r} in packages is not installed", where=Where(FILE), hint=hint)


def _similar(root: Path, path: str) -> str:
    """Return a hint with an existing path that is close to one that does not exist; '' for none."""
    folder = Path()
    for part in Path(path).parts:
        if not (root / folder / part).exists():
            is_folder = (root / folder).is_dir()
            names = [file.name for file in (root / folder).iterdir()] if is_folder else []
            close = difflib.get_close_matches(part, names, n=1)
            return f"Did you mean {str(folder / close[0])!r}?" if close else ""
        folder /= part
    return ""

"""What the declarations of a project depend on, and the digest of all of it."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from assay.config import PACKAGE, Config
from assay.declare.files import definition_paths
from assay.plan.digests import digest
from assay.store.files import stamp_of

_NOT_READ = {"root", "catalog", "policy"}  # settings that declarations do not depend on
_LIBRARIES = ("duckdb", "polars", "pandera", "msgspec", "holidays", "cronsim", "sqlglot")

# The definition modules at one moment, in the order in which they are imported: the path of each,
# relative to the root, and the digest of its bytes.
Modules = Sequence[tuple[str, str]]


def modules_now(config: Config) -> Modules:
    """Return the definition modules as they are; UsageError for a folder that cannot be read."""
    return content_digests(config, definition_paths(config))


def made_from(config: Config, files: Iterable[str], modules: Modules | None = None) -> str:
    """Return the digest of what declarations depend on, `files` besides the definition modules.

    `modules` are these modules, if they were looked at just now.
    """
    settings = {name: str(value) for name, value in asdict(config).items() if name not in _NOT_READ}
    contents = [*(modules_now(config) if modules is None else modules)]
    contents += content_digests(config, files)
    return digest([settings, contents, reads_digest(config), package_versions(config), tools()])


def relative(config: Config, files: Iterable[Path | str], modules: Modules) -> list[str]:
    """Return files and folders (ending in /), without definition modules, relative to the root."""
    known = {f"{config.root}/{path}" for path, _ in modules}
    return sorted({from_root(config, file) for file in {str(file) for file in files} - known})


def from_root(config: Config, path: str) -> str:
    """Return a path relative to the root; a folder keeps the / at its end."""
    return os.path.relpath(path, config.root) + ("/" if path.endswith("/") else "")


def content_digests(config: Config, paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return each path with a digest: of a file's bytes, or the names in a folder (ending in /)."""
    digests, root = [], str(config.root)
    for path in paths:
        full = os.path.join(root, path)  # noqa: PTH118 (a Path for each of many modules costs more)
        is_folder = path.endswith("/")
        content = _names_digest(config, Path(full)) if is_folder else _bytes_digest(full)
        digests.append((path, content))
    return digests


def package_versions(config: Config) -> dict[str, str]:
    """Return the versions of the packages that count as code; '' for one that is not installed."""
    if not config.packages:
        return {}
    from importlib import metadata  # takes a tenth of a no-op

    versions: dict[str, str] = {}
    for name in config.packages:
        with suppress(metadata.PackageNotFoundError, ValueError):
            versions[name] = metadata.version(name)
    return {name: versions.get(name, "") for name in config.packages}


def reads_digest(config: Config) -> str:
    """Return the digest of the files and variables that `reads` names; '' when it names none."""
    digests = []
    for name in config.reads:
        content = _reads_of(config, name).encode("utf-8", "surrogateescape")
        digests.append([name, hashlib.sha256(content).hexdigest()])
    return digest(digests) if digests else ""


def _reads_of(config: Config, name: str) -> str:
    """Return the value of a variable in `reads`, or the digest of the files of another name."""
    if name.startswith("$"):
        return os.environ.get(name[1:], "\0")
    if (config.root / name).is_file():
        return _bytes_digest(config.root / name)
    paths = [from_root(config, file) for file in reads_files(config, name)]
    return digest(content_digests(config, paths))


def reads_files(config: Config, name: str) -> list[str]:
    """Return the files that a name in `reads` means: a file, those below a folder, or of a glob."""
    root = config.root
    if (root / name).is_file():
        return [str(root / name)]
    is_folder = bool(name) and (root / name).is_dir()
    # Not Path.glob(): the pattern may be absolute.
    matched = [name] if is_folder else glob(name, root_dir=root, recursive=True)  # noqa: PTH207
    files = {root / file for place in matched for file in [Path(place), *_below(root, place)]}
    return sorted(str(f) for f in files if f.is_file() and not f.is_relative_to(config.state))


def _below(root: Path, folder: str) -> Iterator[Path]:
    """Yield the files and folders below a folder, except hidden ones and compiled modules."""
    for place in (root / folder).rglob("*"):
        below = place.relative_to(root / folder)
        if not any(part.startswith(".") or part == "__pycache__" for part in below.parts):
            yield Path(folder) / below


@cache
def tools() -> list[Any]:
    """Return what identifies this code and the libraries, without importing any."""
    modules = sorted([path, *stamp_of(status)] for path, status in _modules(PACKAGE))
    specs = [find_spec(name) for name in _LIBRARIES]
    libraries = [_stat(Path(spec.origin)) for spec in specs if spec and spec.origin]
    return [sys.version_info[:2], modules, libraries]


def _modules(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the modules in and below a folder; a third of the time of Path.rglob, in every command."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _modules(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat()


def _stat(file: Path) -> list[Any]:
    """Return what identifies a file: in an image, all may have the same mtime."""
    return [str(file), *stamp_of(file.stat())]


def _names_digest(config: Config, folder: Path) -> str:
    """Return a digest of the names in a folder, except hidden and compiled files and the state."""
    try:
        names = [path.name for path in folder.iterdir() if path != config.state]
    except OSError:
        return "missing"
    return digest(sorted(n for n in names if not n.startswith(".") and n != "__pycache__"))


def _bytes_digest(file: Path | str) -> str:
    """Return the SHA-256 of a file; "missing" for anything else, such as a pipe without an end."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116
            return "missing"
        with open(file, "rb") as content:  # noqa: PTH123
            return hashlib.sha256(content.read()).hexdigest()
    except OSError:
        return "missing"

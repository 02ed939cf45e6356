"""The code of a project as text: its files of Python and SQL, its declarations, and what reads them."""

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata

from assay.catalog import Catalog
from assay.catalog.codes import CodeTexts
from assay.config import Config
from assay.declare.dependencies import made_from, package_versions
from assay.declare.files import definition_paths
from assay.declare.project import Project
from assay.jsonform import encode

MOST = 4 << 20  # bytes of a file of code that is kept as text
_TOOLS = ("assay", "duckdb", "polars", "pandera", "msgspec", "sqlglot")
CODE = (".py", ".sql")


def record_code(project: Project, catalog: Catalog, run: str) -> None:
    """Record by which code a run builds and judges, where that is known."""
    if read := project.as_read:
        catalog.codes.record(run, read.made_from, lambda: texts_of(project))


def texts_of(project: Project) -> CodeTexts | None:
    """Return the code of a project as it was read; None if its files have changed since."""
    read = project.as_read
    if read is None:
        return None
    texts = CodeTexts(
        digest=read.made_from,
        tools=tools_of(project.config),
        files=_files(project.config, read.files),
        declared={
            name: encode(declared).decode()
            for name, declared in [*read.graph.products.items(), *read.graph.sources.items()]
        },
    )
    # They were read just now: they have to be the very ones that the graph was made from.
    is_same = made_from(project.config, read.files) == read.made_from
    return texts if is_same else None


def tools_of(config: Config) -> dict[str, str]:
    """Return the versions of Python, the engines and libraries, and the packages of the settings."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions | package_versions(config)


def _files(config: Config, read: Sequence[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in sorted({*definition_paths(config), *read}):
        place = config.root / path
        # What is read besides code may be data, or hold a password.
        inside = path.endswith(CODE) and not path.startswith("..")
        with suppress(OSError, UnicodeDecodeError):
            if inside and place.is_file() and place.stat().st_size <= MOST:
                files[path] = place.read_bytes().decode("utf-8")
    return files

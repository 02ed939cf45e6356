"""Which files are definition modules of a project."""

import os
from pathlib import Path

from assay.config import Config
from assay.errors import UsageError
from assay.store.matching import files_below


def definition_files(config: Config) -> list[Path]:
    """Return the definition modules of a project, sorted; UsageError for an unreadable folder."""
    return [Path(f"{config.root}/{path}") for path in definition_paths(config)]


def definition_paths(config: Config) -> list[str]:
    """Return the definition modules as `definition_files` does, relative to the root."""
    root = f"{config.root}/"
    try:
        folders = [*files_below(os.path.normpath(f"{root}{config.definitions}"))]
    except OSError as error:
        folder = os.path.relpath(error.filename, config.root)
        raise UsageError(f"cannot look for definitions in {folder}: {error.strerror}") from error
    paths = (
        f"{folder.removeprefix(root)}/{name}"
        for folder, names in folders
        for name in names
        if name.endswith(".py")
    )
    return sorted(paths, key=lambda path: path.split("/"))

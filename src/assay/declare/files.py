"""Which files are definition modules of a project."""

import os
from pathlib import Path

from assay.config import Config
from assay.errors import UsageError
from assay.store.matching import files_below


def definition_files(config: Config) -> list[Path]:
    """Return the definition modules of a project, sorted; UsageError for an unreadable folder."""
    try:
        folders = [*files_below(f"{config.root}/{config.definitions}")]
    except OSError as error:
        folder = os.path.relpath(error.filename, config.root)
        raise UsageError(f"cannot look for definitions in {folder}: {error.strerror}") from error
    return sorted(
        Path(folder, name) for folder, names in folders for name in names if name.endswith(".py")
    )

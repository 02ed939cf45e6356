"""The folders that engines spill to when memory is full, and what dead processes left in them."""

import os
from collections.abc import Sequence
from glob import escape
from pathlib import Path

from assay.config import Config


def spill_of(config: Config, name: str) -> Path:
    """Return the folder that a worker process spills to; two engines cannot share one."""
    return config.spill_folder.with_name(f"spill-{name}")


def copies_of(config: Config) -> Path:
    """Return the folder for this process's copies of files that engines cannot read as they are."""
    return config.spill_folder.with_name(f"copies-{os.uname().nodename}-{os.getpid()}")


def drop_copies(folder: Path, *, own: bool = False) -> None:
    """Remove the copies of dead processes beside the folder for spilling; also one's `own`."""
    import shutil

    for copies in folder.parent.glob(f"copies-{escape(os.uname().nodename)}-*"):
        process = copies.name.rpartition("-")[2]
        if process.isdecimal() and (
            own if int(process) == os.getpid() else not _lives(int(process))
        ):
            shutil.rmtree(copies, ignore_errors=True)


def forget_spills(config: Config, runs: Sequence[str]) -> None:
    """Remove what these dead runs, and other dead processes, have spilled."""
    import shutil

    for run in runs:
        for folder in config.spill_folder.parent.glob(f"spill-{run}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    drop_spilled(config.spill_folder)


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder; 0 if the folder is missing."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except OSError:
        return 0


def drop_spilled(folder: Path) -> None:
    """Remove what DuckDB spilled for dead processes; DuckDB itself does so when it next spills."""
    drop_copies(folder)
    for file in folder.glob("duckdb_temp_*"):
        process = file.name.split("_")[2]
        if process.isdecimal() and not _lives(int(process)):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True

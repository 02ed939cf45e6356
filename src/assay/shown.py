"""Which version of a product is shown, and a copy of it as one file."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from assay.decision import Blocked, Check, Decision, Keep, Publish
from assay.engines import polars as lazy
from assay.engines.blame import blaming
from assay.engines.feed import Table
from assay.errors import UsageError
from assay.fingerprint import key_of
from assay.history import version_of
from assay.model import Version
from assay.read import published
from assay.session import Session


def version_shown(
    session: Session, name: str, steps: Mapping[str, Decision], version_id: str | None, *, held: bool
) -> Version:
    """Return the version that is held back, one by its id, or what readers see; UsageError when there is none."""
    if held and version_id:
        raise UsageError("give --held or --version, not both")
    if held:
        end = steps[name]
        if isinstance(end, Publish | Keep) and end.version.key.held:
            key = end.version.key  # other parts of it are out: what is held is what was built with these
            whole = session.observe().facts.find(name, key_of(key.code, key.inputs).digest)
            return whole or end.version
        if not isinstance(end, Blocked):
            told = (
                "its version is not judged as of now: `products materialize` judges it"
                if isinstance(end, Check)
                else ""
            )
            raise UsageError(f"no version of {name} is held back", hint=told)
        return end.version
    if version_id:
        return version_of(session.catalog, name, version_id)
    return published(session.project.config, session.environment).version(name)


def copy_out(name: str, table: Table, to: Path) -> None:
    """Write a product to one file; UsageError when that would be something else by its name."""
    suffix = table.files[0].suffix
    if to.suffix not in {"", suffix}:
        raise UsageError(f"{name} is stored as {suffix}; --to {to.name} would be something else")
    if len(table.files) == 1 and not table.cuts:
        shutil.copyfile(table.files[0], to)
        return
    with blaming([table]):
        lazy.parquet(table).sink_parquet(to, compression="zstd", compression_level=1, statistics=False)

"""Checks that the facts of the catalog and every byte of every version are as written."""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

from msgspec import MsgspecError, Struct
from msgspec.structs import replace

from assay.catalog import OF_MARK, Catalog, shared_catalog
from assay.catalog.address import put_back
from assay.catalog.rows import columns_of
from assay.config import Config
from assay.errors import CatalogDamaged, UsageError
from assay.model import Column
from assay.plan.names import nearest
from assay.store.files import LocalStorage, file_digest
from assay.store.leases import FOLDER as READERS
from assay.store.paths import LINK, UNLINK
from assay.store.spill import forget_spills
from assay.upkeep.audit import Audit, StoredFile, audit_of
from assay.upkeep.findings import Finding, FindingKind, Report
from assay.upkeep.flaws import Flaw
from assay.upkeep.footers import RecordedTable, contradictions
from assay.upkeep.repair import HISTORY, mend_catalog, repair

_FACTS = (
    "Put back a copy of the catalog, or publish it again:"
    " `products materialize` or `products restore`."
)
_LOST = "`--repair` looks for another copy, or builds it again of the very same."
_CHANGED = (
    "`--repair` sets it aside and looks for another copy, or builds it again of the very same."
)
_OLD = f"`--repair` looks for another copy; readers do not see it, it cannot be restored. {HISTORY}"
_ADVICE = {
    FindingKind.MISSING: _LOST,
    FindingKind.TRUNCATED: _LOST,
    FindingKind.WRITABLE: "`--repair` makes it read-only again.",
    FindingKind.LINKED: UNLINK,
}

Progress = Callable[[int, int], None]  # bytes read since the last call, and bytes to read in all


class Damage(Struct, frozen=True):
    """What is wrong with one file."""

    kind: FindingKind
    message: str


def verify(
    config: Config,
    names: Sequence[str],
    *,
    now: datetime,
    mend: bool = False,
    progress: Progress = lambda read, total: None,
) -> Report:
    """Check the catalog, every file that it names, and the rest of the store; `mend` repairs.

    `names` are products, declared or not; without any, all are checked. What dead runs left is
    removed first.
    """
    storage = LocalStorage(config.state / "store")
    try:
        with closing(shared_catalog(config)) as catalog:
            recovered = catalog.runs.recover(storage.remove)
            forget_spills(config, recovered)
            damage = [
                Finding(kind=FindingKind.CATALOG, message=text, advice=put_back(catalog.name))
                for text in catalog.database.damage()
            ]
            if damage and mend:
                damage = mend_catalog(catalog, damage)
            # Paths before the catalog: a file that is recorded in between is not foreign.
            paths = list(_walk(storage.root))
            audit = audit_of(catalog)
            report = _check(audit, storage, paths, _selected(audit, names), progress)
            report = _without_outdated(report, catalog, storage)
            if mend:
                findings = repair(catalog, storage, audit, report.findings, now=now)
                report = replace(report, findings=tuple(findings))
    except CatalogDamaged as error:
        finding = Finding(kind=FindingKind.CATALOG, message=error.what, advice=error.hint)
        return Report(findings=(finding,))
    return replace(report, findings=(*damage, *report.findings), recovered=tuple(recovered))


def _selected(audit: Audit, names: Sequence[str]) -> frozenset[str]:
    """Return the selected products; raise UsageError for a name without a version."""
    products = frozenset(product for product, _ in audit.versions.values())
    selected = set()
    for name in names:
        matches = sorted(p for p in products if name in {p, p.partition(".")[2]})
        if len(matches) != 1:
            problem = f"could be {' or '.join(matches)}" if matches else "has no version"
            hint = nearest(name, products) or "`products history NAME` lists them."
            raise UsageError(f"{name!r} {problem}", hint=hint)
        selected.add(matches[0])
    return frozenset(selected)


def _check(
    audit: Audit,
    storage: LocalStorage,
    paths: Sequence[tuple[str, bool]],
    selected: frozenset[str],
    progress: Progress,
) -> Report:
    """Compare catalog and store, for the `selected` products, or for all if none is selected."""

    def selects(product: str) -> bool:
        return not selected or product in selected

    files = [file for file in audit.files.values() if selects(file.product)]
    flaws = [flaw for flaw in audit.flaws if not flaw.product or selects(flaw.product)]
    checked = list(_check_files(files, storage, progress))
    damaged = [_of_file(audit, file, damage) for file, damage in checked if damage]
    intact = [file for file, damage in checked if damage is None or not damage.kind.is_damage]
    foreign = _foreign(audit, paths)
    return Report(
        findings=(
            *map(_of_flaw, flaws),
            *damaged,
            *_unlike_footers(audit, intact, storage),
            *(f for f in foreign if selects(f.file.partition("/")[0])),
        ),
        files=len(files),
        versions=sum(selects(product) for product, _ in audit.versions.values()),
        bytes=sum(file.bytes for file in files),
    )


def _without_outdated(report: Report, catalog: Catalog, storage: LocalStorage) -> Report:
    """Leave out findings that no longer hold, because another run was at work meanwhile."""
    if not any(finding.file for finding in report.findings):
        return report
    named = audit_of(catalog).files

    def holds(finding: Finding) -> bool:
        if finding.kind is FindingKind.FOREIGN:
            return (storage.root / finding.file).exists() and finding.file not in named
        return not finding.file or finding.file in named

    return replace(report, findings=tuple(filter(holds, report.findings)))


# -------------------------------------------------------------------------------------------- files


def _check_files(
    files: Sequence[StoredFile], storage: LocalStorage, progress: Progress
) -> Iterator[tuple[StoredFile, Damage | None]]:
    """Yield each file with its damage, if any; several files are read at a time."""
    total = sum(file.bytes for file in files)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="verify") as pool:
        damages = pool.map(lambda file: _damage(storage, file), files)
        for file, damage in zip(files, damages, strict=True):
            progress(file.bytes, total)
            yield file, damage


def _damage(storage: LocalStorage, file: StoredFile) -> Damage | None:
    """Return what is wrong with a file, which is read whole."""
    path = f"{storage.root}/{file.path}"
    try:
        if folder := storage.paths.link_above(file.path):
            return Damage(FindingKind.LINKED, f"{folder} {LINK}")
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            message = "it is no file any more, but a link, a folder or the like"
            return Damage(FindingKind.EDITED, message)
        if status.st_size != file.bytes:
            message = f"it has {status.st_size:,} bytes, and {file.bytes:,} were written"
            return Damage(FindingKind.TRUNCATED, message)
        if file_digest(Path(path)) != file.checksum:
            message = "its SHA-256 is not the one recorded when it was written"
            return Damage(FindingKind.EDITED, message)
    except (FileNotFoundError, NotADirectoryError):
        return Damage(FindingKind.MISSING, "it is not there")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return Damage(FindingKind.UNREADABLE, f"it cannot be read: {reason}")
    if status.st_mode & 0o222:
        return Damage(FindingKind.WRITABLE, "it can be written to: it should be read-only")
    return None


def _of_file(audit: Audit, file: StoredFile, damage: Damage) -> Finding:
    """Return the damage of a file, with the versions and the readers that it concerns."""
    versions = [id for _, id in audit.versions_of(file.parts)]
    readers = sorted({env for id in versions for env in audit.readers.get(id, ())})
    advice = _ADVICE.get(damage.kind, _CHANGED)
    if not readers and damage.kind not in {FindingKind.LINKED, FindingKind.WRITABLE}:
        advice = _OLD
    return Finding(
        kind=damage.kind,
        message=damage.message,
        advice=advice,
        file=file.path,
        product=file.product,
        versions=tuple(versions),
        readers=tuple(readers),
    )


def _unlike_footers(
    audit: Audit, files: Iterable[StoredFile], storage: LocalStorage
) -> Iterator[Finding]:
    """Yield intact Parquet files whose rows or columns contradict the catalog."""
    recorded: dict[Path, RecordedTable] = {}
    by_path: dict[Path, StoredFile] = {}
    for file in files:
        columns = _columns(file)
        if columns:
            path = storage.root / file.path
            by_path[path] = file
            recorded[path] = RecordedTable(rows=file.rows, columns=columns)
    for path, message in contradictions(recorded) if recorded else ():
        damage = Damage(FindingKind.CONTRADICTION, message)
        yield replace(_of_file(audit, by_path[path], damage), advice=_FACTS)


def _columns(file: StoredFile) -> tuple[Column, ...]:
    """Return the recorded columns of a Parquet file; none if they cannot be read."""
    if not file.path.endswith(".parquet") or not file.columns:
        return ()
    try:
        return columns_of(file.columns)
    except (MsgspecError, ValueError):  # reported as a flaw of the version
        return ()


def _of_flaw(flaw: Flaw) -> Finding:
    return Finding(
        kind=FindingKind.CONTRADICTION,
        message=flaw.message,
        advice=_FACTS,
        product=flaw.product,
        versions=(flaw.version,) if flaw.version else (),
        readers=(flaw.environment,) if flaw.environment else (),
    )


# ------------------------------------------------------------------------------------ foreign files


def _walk(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield each path in the store, and whether it is a folder."""
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        for name in [*folders, *files]:
            yield name if below == "." else f"{below}/{name}", name in folders


def _foreign(audit: Audit, paths: Iterable[tuple[str, bool]]) -> Iterator[Finding]:
    """Yield what the catalog does not name; of a folder without any named path, the folder only."""
    named = {*audit.files, *audit.replaced, *audit.busy, *OF_MARK}
    above_named = {folder for path in named for folder in _folders_above(path)}
    reported: set[str] = set()
    for path, is_folder in sorted(paths):
        if path in named or (is_folder and path in above_named):
            continue
        if path.split("/", 1)[0] == READERS:
            continue
        if _is_below(path, audit.busy) or _is_below(path, reported):
            continue
        reported.add(path)
        message = "nothing in the catalog names it"
        if is_folder:
            message = "nothing in the catalog names what is in this folder"
        yield Finding(
            kind=FindingKind.FOREIGN,
            message=message,
            advice="`--repair` moves it to .products/damaged.",
            file=path,
        )


def _folders_above(path: str) -> Iterator[str]:
    return (path[:end] for end in range(len(path)) if path[end] == "/")


def _is_below(path: str, folders: Collection[str]) -> bool:
    """Return whether a path is in one of these folders, at any depth."""
    return any(folder in folders for folder in _folders_above(path))

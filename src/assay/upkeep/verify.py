"""Looks whether everything is still as it was written: the catalog's facts, and every byte of every version."""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from msgspec import MsgspecError
from msgspec.structs import replace

from assay.catalog import OF_MARK, Catalog, shared_catalog
from assay.catalog.address import put_back
from assay.catalog.rows import columns_of
from assay.config import Config
from assay.errors import CatalogDamaged, UsageError
from assay.plan.names import nearest
from assay.store.files import LocalStorage, file_digest
from assay.store.leases import FOLDER as READERS
from assay.store.paths import LINK, UNLINK
from assay.upkeep.audit import Audit, Flaw, Kept, audit_of
from assay.upkeep.findings import HARMLESS, Finding, Report
from assay.upkeep.footers import Recorded, contradicted
from assay.upkeep.repair import HISTORY, mend_catalog, repair

_FACTS = "Put back a copy of the catalog, or publish it again: `products materialize` or `products restore`."
_LOST = "`--repair` looks for another copy, or builds it again of the very same."
_CHANGED = (
    "`--repair` sets it aside and looks for another copy, or builds it again of the very same."
)
_OLD = f"`--repair` looks for another copy; readers do not see it, it cannot be restored. {HISTORY}"


Told = Callable[[int, int], None]  # bytes read since it was told last, and bytes to read altogether


def verify(
    config: Config, names: Sequence[str], *, now: datetime, mend: bool = False, told: Told
) -> Report:
    """Look at the catalog, at every file that it names, and at what else is in the store; with `mend`, repair it.

    `names` are products (also such as are declared no more); none: all. What died runs left is removed first.
    """
    storage = LocalStorage(config.state / "store")
    try:
        with closing(shared_catalog(config)) as catalog:
            recovered = catalog.runs.recover(storage.remove)
            sick = [
                Finding(found="catalog", says=text, do=put_back(catalog.name))
                for text in catalog.database.damage()
            ]
            if sick and mend:
                sick = mend_catalog(catalog, sick)
            there = list(
                _walk(storage.root)
            )  # before the catalog is read: what it names later is not foreign
            audit = audit_of(catalog)
            report = _compared(audit, storage, there, _chosen(audit, names), told)
            report = _still(report, catalog, storage)
            if mend:
                findings = repair(catalog, storage, audit, report.findings, now=now)
                report = replace(report, findings=tuple(findings))
    except CatalogDamaged as error:
        return Report(findings=(Finding(found="catalog", says=error.what, do=error.hint),))
    return replace(report, findings=(*sick, *report.findings), recovered=tuple(recovered))


def _chosen(audit: Audit, names: Sequence[str]) -> frozenset[str] | None:
    """Return the products that are meant, None for all; UsageError for a name that the catalog does not know."""
    products = {product for product, _ in audit.versions.values()}
    chosen = set()
    for name in names:
        found = [p for p in products if name in {p, p.partition(".")[2]}]
        if len(found) != 1:
            what = f"could be {' or '.join(sorted(found))}" if found else "has no version"
            raise UsageError(
                f"{name!r} {what}",
                hint=nearest(name, products) or "`products history NAME` lists them.",
            )
        chosen.add(found[0])
    return frozenset(chosen) if names else None


def _compared(
    audit: Audit,
    storage: LocalStorage,
    there: Sequence[tuple[str, bool]],
    chosen: frozenset[str] | None,
    told: Told,
) -> Report:
    files = [kept for kept in audit.files.values() if chosen is None or kept.product in chosen]
    flaws = [
        flaw for flaw in audit.flaws if chosen is None or not flaw.product or flaw.product in chosen
    ]
    looked = [(kept, damage) for kept, damage in _looked_at(files, storage, told)]
    wrong = [_about(audit, kept, *damage) for kept, damage in looked if damage]
    sound = [kept for kept, damage in looked if damage is None or damage[0] in HARMLESS]
    foreign = _foreign(audit, there, chosen)
    return Report(
        findings=(*map(_of_flaw, flaws), *wrong, *_unlike_footers(audit, sound, storage), *foreign),
        files=len(files),
        versions=sum(chosen is None or product in chosen for product, _ in audit.versions.values()),
        bytes=sum(kept.bytes for kept in files),
    )


def _still(report: Report, catalog: Catalog, storage: LocalStorage) -> Report:
    """Leave out what was true only while another run was at work: it has moved on by now."""
    if not any(finding.file for finding in report.findings):
        return report
    now = audit_of(catalog)

    def holds(finding: Finding) -> bool:
        if finding.found == "foreign":
            return (storage.root / finding.file).exists() and finding.file not in now.files
        return not finding.file or finding.file in now.files

    return replace(report, findings=tuple(filter(holds, report.findings)))


# ---------------------------------------------------------------------------------------------- files


def _looked_at(
    files: Sequence[Kept], storage: LocalStorage, told: Told
) -> Iterator[tuple[Kept, tuple[str, str] | None]]:
    """Yield each file with what is wrong with it: the kind, and words for it. Several are read at a time."""
    total = sum(kept.bytes for kept in files)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="verify") as pool:
        for kept, said in zip(
            files, pool.map(lambda kept: look(storage, kept), files), strict=True
        ):
            told(kept.bytes, total)
            yield kept, said


def look(storage: LocalStorage, kept: Kept) -> tuple[str, str] | None:
    """Return what is wrong with a file, which is read whole: the kind, and words for it."""
    full = f"{storage.root}/{kept.path}"
    try:
        if folder := storage.paths.link_above(kept.path):
            return "linked", f"{folder} {LINK}"
        found = os.lstat(full)
        if not stat.S_ISREG(found.st_mode):
            return "edited", "it is no file any more, but a link, a folder or the like"
        if found.st_size != kept.bytes:
            return "truncated", f"it has {found.st_size:,} bytes, and {kept.bytes:,} were written"
        if file_digest(Path(full)) != kept.checksum:
            return "edited", "its SHA-256 is not the one recorded when it was written"
    except (FileNotFoundError, NotADirectoryError):
        return "missing", "it is not there"
    except (OSError, ValueError) as error:
        return "unreadable", f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    return (
        ("writable", "it can be written to: it should be read-only")
        if found.st_mode & 0o222
        else None
    )


def _about(audit: Audit, kept: Kept, found: str, says: str) -> Finding:
    versions = audit.versions_of(kept.parts)
    readers = sorted({env for _, id in versions for env in audit.seen.get(id, ())})
    do = {
        "missing": _LOST,
        "truncated": _LOST,
        "writable": "`--repair` makes it read-only again.",
        "linked": UNLINK,
    }
    help = do.get(found, _CHANGED) if readers or found in {"writable", "linked"} else _OLD
    return Finding(
        found=found,
        says=says,
        do=help,
        file=kept.path,
        product=kept.product,
        versions=tuple(id for _, id in versions),
        readers=tuple(readers),
    )


def _unlike_footers(
    audit: Audit, files: Iterable[Kept], storage: LocalStorage
) -> Iterator[Finding]:
    """Yield the Parquet files, sound byte for byte, of which the catalog says other rows or columns than they have."""
    recorded: dict[Path, Recorded] = {}
    named: dict[Path, Kept] = {}
    for kept in files:
        with suppress(
            MsgspecError, ValueError
        ):  # columns that cannot be read are told of their version
            columns = (
                columns_of(kept.columns) if kept.path.endswith(".parquet") and kept.columns else ()
            )
            if columns:
                path = storage.root / kept.path
                recorded[path], named[path] = Recorded(rows=kept.rows, columns=columns), kept
    for path, says in contradicted(recorded) if recorded else ():
        yield replace(_about(audit, named[path], "contradiction", says), do=_FACTS)


def _of_flaw(flaw: Flaw) -> Finding:
    return Finding(
        found="contradiction",
        says=flaw.says,
        do=_FACTS,
        product=flaw.product,
        versions=(flaw.version,) if flaw.version else (),
        readers=(flaw.environment,) if flaw.environment else (),
    )


# ---------------------------------------------------------------------------------------------- what else is there


def _walk(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield what is in the store: each path, and whether it is a folder."""
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        for name in [*folders, *files]:
            yield name if below == "." else f"{below}/{name}", name in folders


def _foreign(
    audit: Audit, there: Iterable[tuple[str, bool]], chosen: frozenset[str] | None
) -> Iterator[Finding]:
    """Yield what nothing names; of a folder in which nothing is named, the folder alone."""
    named = {*audit.files, *audit.replaced, *audit.busy, *OF_MARK}
    there = [(path, folder) for path, folder in there if path.split("/", 1)[0] != READERS]
    above = {path[:end] for path in named for end in range(len(path)) if path[end] == "/"}
    told: set[str] = set()
    for path, folder in sorted(there):
        if (
            path in named
            or (folder and path in above)
            or _below(path, audit.busy)
            or _below(path, told)
        ):
            continue
        if chosen is not None and path.partition("/")[0] not in chosen:
            continue
        told.add(path)
        what = (
            "nothing in the catalog names what is in this folder"
            if folder
            else "nothing in the catalog names it"
        )
        yield Finding(
            found="foreign", says=what, do="`--repair` moves it to .products/damaged.", file=path
        )


def _below(path: str, folders: Collection[str]) -> bool:
    """Say whether a path is in one of these folders, however deep."""
    return any(path[:end] in folders for end in range(len(path)) if path[end] == "/")

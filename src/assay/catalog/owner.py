"""Which catalog a store belongs to: one, and each knows the other.

A file in the store has the id of its catalog, and the catalog has the same id as a note. That file
decides: it is written before the note is committed, so where a process dies between the two, the
store is nobody's, or another's.
"""

import os
from pathlib import Path

from msgspec import Struct

from assay.catalog.catalog import Catalog
from assay.catalog.database import Reader, Writer, set_note
from assay.catalog.transactions import moved_to
from assay.errors import CatalogError
from assay.store.leases import FOLDER as READERS
from assay.store.permissions import create, make_folder

MARK = "catalog-id"  # the file in a store that says which catalog is its own
OF_MARK = {MARK, f"{MARK}.new"}  # also as it is being written
_MOST = 4096  # bytes of it that are read
_ANEW = "`products materialize` then starts anew, and `products verify --repair` sets aside what was stored."


class Owner(Struct, frozen=True, kw_only=True):
    """The catalog that a store belongs to: its id ('': nobody's), and what it was called then."""

    id: str = ""
    name: str = ""


def owner(store: Path) -> Owner:
    """Return whose a store is; CatalogError when that cannot be read."""
    file = store / MARK
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            lines = os.read(opened, _MOST).decode().splitlines()
        finally:
            os.close(opened)
    except FileNotFoundError:
        return Owner()
    except (OSError, UnicodeDecodeError) as error:
        hint = "It says which catalog is that of the store: it should be a file, and may be read by who uses the store."
        raise CatalogError(f"cannot read {file}: {error}", hint=hint) from error
    return Owner(
        id=lines[0].strip() if lines else "", name=lines[1].strip() if len(lines) > 1 else ""
    )


def give(store: Path, to: Owner) -> None:
    """Let a store belong to a catalog, at once and for good: no reader sees half of it, and no loss of power."""
    file, new = store / MARK, store / f"{MARK}.new"
    try:
        make_folder(store)
        with os.fdopen(create(new, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "wb") as opened:
            opened.write(f"{to.id}\n{to.name}\n".encode())
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        folder = os.open(store, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        hint = "It is to say which catalog is that of the store: make room, or let it be written to, and run it again."
        raise CatalogError(f"cannot write {file}: {error.strerror or error}", hint=hint) from error


class StoreOwner(Struct, frozen=True, kw_only=True):
    """A catalog, as it is called, and the store that it is used with; `beside`: it is a file of the same folder."""

    name: str
    store: Path
    beside: bool

    def check_owner(self, asked: Reader, mine: str = "") -> bool:
        """Say whether they know each other; False: neither is anybody else's, so they may.

        CatalogError for any other: recovery and `verify --repair` would remove files that nothing
        here names, and nothing that is recorded here could be read. `mine` is an id that this
        process has given the store by now.
        """
        noted = dict(asked.rows("select name, value from meta where name in ('store', 'moved')"))
        known, moved, now = noted.get("store", ""), noted.get("moved", ""), owner(self.store)
        if known == now.id:
            return bool(known) and not moved
        # What lies beside a store is its own, should the mark be lost; where nothing is stored,
        # nothing can be lost.
        lost = known and self.beside and not now.id and not moved
        if lost or (not known and (now.id == mine or _is_empty(self.store))):
            return False
        raise self._refusal(known, moved, now)

    def claim_store(self, catalog: Catalog) -> None:
        """Let them know each other; CatalogError when somebody else was faster, or the store may not be written."""
        fresh = os.urandom(16).hex()

        def know(writer: Writer) -> None:
            if self.check_owner(writer, fresh):
                return
            id = dict(writer.rows("select name, value from meta where name = 'store'")).get(
                "store", fresh
            )
            give(self.store, Owner(id=id, name=self.name))
            set_note(writer, "store", id)
            writer.execute("delete from meta where name = 'moved'")

        catalog.database.write(know)

    def _refusal(self, known: str, moved: str, now: Owner) -> CatalogError:
        file = self.store / MARK
        if moved:
            return moved_to(
                self.name,
                moved,
                f"\n  If that is gone for good, write {known} into {file}" if known else "",
            )
        theirs = now.name if now.name != self.name else ""
        whose = f"the catalog {theirs}" if theirs else "another catalog"
        set_it = f"Set {theirs or 'its own'} as `catalog` in [tool.products], or as ASSAY_CATALOG."
        if known:
            belongs = f", which belongs to {whose}" if now.id else ""
            return CatalogError(
                f"the catalog {self.name} is that of another store than {self.store}{belongs}",
                hint=f"{set_it} Machines that share a catalog must share the folder of the store, and each project"
                " needs a catalog of its own.\n  If this is its store all the same, or that is gone for good, write"
                f" {known} into {file}",
            )
        if now.name == self.name:
            return CatalogError(
                f"the catalog {self.name} has lost what was in it: nothing is recorded, and {self.store} is its store",
                hint=f"Put back a copy of it. If there is none, remove {file}: {_ANEW}",
            )
        return CatalogError(
            f"the store {self.store} belongs to {whose}, and not to {self.name}, where nothing is recorded",
            hint=f"{set_it}\n  If that is lost for good, remove {file}: {_ANEW}",
        )


def _is_empty(store: Path) -> bool:
    try:
        return {entry.name for entry in os.scandir(store)} <= {*OF_MARK, READERS}
    except FileNotFoundError:
        return True

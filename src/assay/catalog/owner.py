"""The pairing of a store and its catalog: each records the id of the other.

A file in the store has the id of its catalog, and the catalog has the same id as a note. The file
decides: it is written before the note is committed. A process that dies between the two leaves a
store without a catalog, or with another one.
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

MARK = "catalog-id"  # the file in a store that names its catalog
OF_MARK = {MARK, f"{MARK}.new"}  # with the name that it has while it is written
_MOST = 4096  # bytes of the mark that are read
_ANEW = (
    "`products materialize` then starts anew, and `products verify --repair` sets aside what was"
    " stored."
)


class Owner(Struct, frozen=True, kw_only=True):
    """The catalog of a store: its id ('' if the store has none), and the name it had then."""

    id: str = ""
    name: str = ""


def owner(store: Path) -> Owner:
    """Return the catalog that a store belongs to; raise CatalogError when it cannot be read."""
    file = store / MARK
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            lines = os.read(descriptor, _MOST).decode().splitlines()
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Owner()
    except (OSError, UnicodeDecodeError) as error:
        hint = (
            "It says which catalog is that of the store: it should be a file, and may be read by"
            " who uses the store."
        )
        raise CatalogError(f"cannot read {file}: {error}", hint=hint) from error
    id, name, *_ = (line.strip() for line in (*lines, "", ""))
    return Owner(id=id, name=name)


def set_owner(store: Path, owner: Owner) -> None:
    """Record the catalog of a store, atomically and durably."""
    file, new = store / MARK, store / f"{MARK}.new"
    try:
        make_folder(store)
        with os.fdopen(create(new, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "wb") as mark:
            mark.write(f"{owner.id}\n{owner.name}\n".encode())
            mark.flush()
            os.fsync(mark.fileno())
        new.replace(file)
        folder = os.open(store, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        hint = (
            "It is to say which catalog is that of the store: make room, or let it be written to,"
            " and run it again."
        )
        raise CatalogError(f"cannot write {file}: {error.strerror or error}", hint=hint) from error


class StoreOwner(Struct, frozen=True, kw_only=True):
    """A catalog, by name, and the store that it is used with.

    `beside` is True if the catalog is a file in the folder that the store is in.
    """

    name: str
    store: Path
    beside: bool

    def check_owner(self, reader: Reader, new_id: str = "") -> bool:
        """Return whether catalog and store carry the same id; False if they may still be paired.

        `new_id` is an id that this process has just given to the store. Raises CatalogError for any
        other pair: recovery and `verify --repair` would remove files that this catalog does not
        name, and nothing that this catalog records could be read.
        """
        notes = dict(reader.rows("select name, value from meta where name in ('store', 'moved')"))
        id, moved, stored = notes.get("store", ""), notes.get("moved", ""), owner(self.store)
        if id == stored.id:
            return bool(id) and not moved
        if id and self.beside and not stored.id and not moved:
            return False  # the store beside a catalog is its own, and has lost its mark
        if not id and (stored.id == new_id or _is_empty(self.store)):
            return False
        raise self._refusal(id, moved, stored)

    def claim_store(self, catalog: Catalog) -> None:
        """Pair catalog and store.

        Raises CatalogError when another process paired one of them first, or the store cannot be
        written to.
        """
        new_id = os.urandom(16).hex()

        def pair(writer: Writer) -> None:
            if self.check_owner(writer, new_id):
                return
            rows = writer.rows("select value from meta where name = 'store'")
            id = rows[0][0] if rows else new_id
            set_owner(self.store, Owner(id=id, name=self.name))
            set_note(writer, "store", id)
            writer.execute("delete from meta where name = 'moved'")

        catalog.database.write(pair)

    def _refusal(self, id: str, moved: str, stored: Owner) -> CatalogError:
        """Return the error for a catalog and a store of different ids."""
        mark = self.store / MARK
        if moved:
            advice = f"\n  If that is gone for good, write {id} into {mark}" if id else ""
            return moved_to(self.name, moved, advice)
        owner = stored.name if stored.name != self.name else ""
        whose = f"the catalog {owner}" if owner else "another catalog"
        set_it = f"Set {owner or 'its own'} as `catalog` in [tool.products], or as ASSAY_CATALOG."
        if id:
            belongs = f", which belongs to {whose}" if stored.id else ""
            return CatalogError(
                f"the catalog {self.name} is that of another store than {self.store}{belongs}",
                hint=f"{set_it} Machines that share a catalog must share the folder of the store,"
                " and each project needs a catalog of its own.\n  If this is its store all the"
                f" same, or that is gone for good, write {id} into {mark}",
            )
        if stored.name == self.name:
            return CatalogError(
                f"the catalog {self.name} has lost what was in it: nothing is recorded, and"
                f" {self.store} is its store",
                hint=f"Put back a copy of it. If there is none, remove {mark}: {_ANEW}",
            )
        if owner.startswith("/") and Path(owner).parent != Path(self.name).parent and self.beside:
            return CatalogError(
                f"{self.store} has versions of another project, whose catalog is {owner}; nothing is"
                f" recorded in {self.name}",
                hint="If this folder is a copy of that project, copy its catalog as well, while nothing"
                f" runs there. Or start anew: remove {mark}. {_ANEW}",
            )
        return CatalogError(
            f"the store {self.store} belongs to {whose}, and not to {self.name}, where nothing is"
            " recorded",
            hint=f"{set_it}\n  If that is lost for good, remove {mark}: {_ANEW}",
        )


def _is_empty(store: Path) -> bool:
    """Return whether a store has nothing but its mark and leases, or is missing."""
    try:
        return {entry.name for entry in os.scandir(store)} <= {*OF_MARK, READERS}
    except FileNotFoundError:
        return True

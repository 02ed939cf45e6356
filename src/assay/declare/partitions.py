"""Declared partitions to partitions: what each table of a project is split by."""

from collections.abc import Mapping

from msgspec.structs import replace

from assay.declare.contracts import DeclaredContract
from assay.declare.implementations import Implementation
from assay.declare.names import Names
from assay.declare.words import (
    FileDeclaration,
    ProductDeclaration,
    SourceDeclaration,
)
from assay.model import QUARANTINE, Partition, Where
from assay.plan.graph import Graph
from assay.plan.names import nearest
from assay.plan.parts import partition_by, template
from assay.sensitive import secret

_QUARANTINE = f"__{QUARANTINE}"
_BY_VALUE = {"DATE", "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"}


class Partitions:
    """The partition of every declared table; problems are reported to `names`."""

    def __init__(
        self,
        names: Names,
        contracts: Mapping[str, DeclaredContract],
        implementations: Mapping[str, Implementation],
    ) -> None:
        self.names, self.contracts, self.implementations = names, contracts, implementations
        self._partitions: dict[str, Partition | None] = {}
        self._reported: set[str] = set()  # tables without parts whose problem is reported already

    def of(self, name: str) -> Partition | None:
        """Return what a table is split by; None for a table that is not in parts."""
        if name not in self._partitions:
            self._partitions[name] = None  # while it is read, and for a table that follows itself
            self._partitions[name] = self._read(name)
        return self._partitions[name]

    def followed_by(self, name: str, product: ProductDeclaration) -> str | None:
        """Return the full name of the table that `each=` names; None if unknown or not given."""
        if not product.each:
            return None
        reference = product.each
        if isinstance(reference, str):
            reference = product.refers(reference)
        return self.names.find(reference, name.partition(".")[0])

    def _read(self, name: str) -> Partition | None:
        table = self.names.declarations.get(name)
        if table is None and name.endswith(_QUARANTINE):  # it is in parts as its product is
            partition = self.of(name.removesuffix(_QUARANTINE))
            return replace(partition, in_rows=False) if partition else None
        if isinstance(table, SourceDeclaration) and not isinstance(table, FileDeclaration):
            return self._of_source(name, table)
        if not isinstance(table, ProductDeclaration) or not (table.each or table.partition_by):
            return None
        where = self.names.relative(table.where)
        if table.each and table.partition_by:
            message = f"{name} has each= and partition_by="
            self.names.report(message, where, "Say one: each= is by another's parts.")
            return None
        if table.partition_by:
            return self._of_column(name, table, where)
        return self._of_followed(name, table, where)

    def _of_source(self, name: str, source: SourceDeclaration) -> Partition | None:
        try:
            path = template(source.pattern)
        except ValueError:
            self._reported.add(name)  # by read_source()
            return None
        return Partition(names=path.names or (name,), grain=path.grain)

    def _of_followed(
        self, name: str, product: ProductDeclaration, where: Where
    ) -> Partition | None:
        """Return the partition of a product with `each=`: that of the table it names."""
        followed = self.followed_by(name, product)
        partition = self.of(followed) if followed else None
        if partition:
            return replace(partition, in_rows=False)
        self._reported.add(name)
        if followed in self._reported:
            return None
        reason = f"{followed} is not in parts" if followed else "is no name of an input"
        hint = ""
        if not followed and isinstance(product.each, str):
            hint = nearest(product.each, self.names.declarations)
        self.names.report(f"{name}: each={shown_each(product)} {reason}", where, hint)
        return None

    def _of_column(self, name: str, product: ProductDeclaration, where: Where) -> Partition | None:
        """Return the partition of a product with `partition_by=`."""
        try:
            partition = partition_by(product.partition_by)
        except ValueError as error:
            message = f"{name}: partition_by={error}"
            self.names.report(message, where, 'Write "day", or "month(invoiced_at)".')
            return None
        [column] = partition.names
        columns = self.contracts[name].contract.columns
        type = next((c.type for c in columns if c.name == column), "")
        if partition.grain:
            if type and not type.startswith(("DATE", "TIMESTAMP")):
                message = f"{name}: {product.partition_by} needs a date or a time; it is {type}"
                self.names.report(message, where)
            return partition
        if type == "DATE":
            return replace(partition, grain="day")
        if type and type not in _BY_VALUE:
            message = f"{name}: it cannot be split by {column}, which is {type}"
            hint = f'Write partition_by="day({column})" (or month).'
            self.names.report(message, where, hint if type.startswith("TIMESTAMP") else "")
        return self._with_grain_of_inputs(partition, name)

    def _with_grain_of_inputs(self, partition: Partition, name: str) -> Partition:
        """Return a partition with the grain of the inputs split by its column, if they agree."""
        grains = set()
        for input in self.implementations[name].inputs:
            theirs = self.of(input.name)
            if theirs is None or theirs.names != partition.names:
                continue
            if theirs.grain == "day" or not theirs.in_rows:
                grains.add(theirs.grain)
        return replace(partition, grain=min(grains)) if len(grains) == 1 else partition

    def check_sensitive(self, graph: Graph) -> None:
        """Report products that are split by a sensitive column: parts are named by its values."""
        for name, product in graph.products.items():
            if product.partition is None:
                continue
            hidden = secret(product.partition.names, graph.sensitive(name))
            if hidden:
                message = (
                    f"{name} is split by {min(hidden)}, which is sensitive:"
                    " its parts would be called by its values"
                )
                hint = (
                    "Split it by something that may be shown."
                    ' Where the name deceives: metadata={"sensitive": False}.'
                )
                self.names.report(message, product.where, hint)


def shown_each(product: ProductDeclaration) -> str:
    """Return what `each=` of a product names, for messages."""
    each = product.each
    return repr(each if isinstance(each, str) else getattr(each, "name", None) or "a source")

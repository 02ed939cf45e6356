"""Declared partitions to partitions: what each table is split by, and which of its inputs a product follows."""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from assay.declare.words import (
    Declaration,
    FileDeclaration,
    PartsDeclaration,
    ProductDeclaration,
    SourceDeclaration,
)
from assay.engines.sql.splitting import has_window
from assay.model import Contract, Input, Partition, Where
from assay.plan.graph import Graph, nearest
from assay.plan.parts import alike, coarser, partition_by, shown, template
from assay.sensitive import secret

_BY_VALUE = {"DATE", "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"}


class Declared(Protocol):
    """What is known of the declarations while they are turned into products."""

    named: dict[str, Declaration]

    def refer(self, text: object, domain: str) -> str | None:
        """Return the full name behind a reference from a domain, if there is one."""

    def contract_of(self, name: str) -> Contract:
        """Return the contract of a declared product."""

    def inputs_of(self, name: str) -> tuple[Input, ...]:
        """Return the inputs of a declared product."""

    def sql_of(self, name: str) -> str:
        """Return the query of a declared product, '' for one made by a function."""

    def problem(self, what: str, where: Where, hint: str = "") -> None:
        """Note a mistake."""

    def here(self, where: Where) -> Where:
        """Return a place relative to the project."""


class Partitions:
    """The partition of every declared table; mistakes are noted where the table is declared."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.found: dict[str, Partition | None] = {}
        self.wrong: set[str] = set()  # tables of which it is told already why they are in no parts

    def of(self, name: str) -> Partition | None:
        """Return what a table is split by; None for one that is not in parts."""
        if name not in self.found:
            self.found[name] = None  # until it is known, and for one that is made of itself
            self.found[name] = self._of(name, self.declared.named.get(name))
        return self.found[name]

    def _of(self, name: str, table: Declaration | None) -> Partition | None:
        if isinstance(table, SourceDeclaration) and not isinstance(table, FileDeclaration):
            return self._of_source(name, table)
        if not isinstance(table, ProductDeclaration) or not (table.each or table.partition_by):
            return None
        where, domain = self.declared.here(table.where), name.partition(".")[0]
        if table.each and table.partition_by:
            self.declared.problem(
                f"{name} has each= and partition_by=",
                where,
                "Say one: each= is by another's parts.",
            )
            return None
        if table.partition_by:
            return self._of_column(name, table, where)
        followed = self.declared.refer(_each(table), domain)
        found = self.of(followed) if followed else None
        if found is None:
            self.wrong.add(name)
        if found is None and followed not in self.wrong:
            told = f"{followed} is not in parts" if followed else "is no name of an input"
            hint = (
                ""
                if followed or not isinstance(table.each, str)
                else nearest(table.each, self.declared.named)
            )
            self.declared.problem(f"{name}: each={_called(table.each)} {told}", where, hint)
        return replace(found, in_rows=False) if found else None

    def _of_source(self, name: str, source: SourceDeclaration) -> Partition | None:
        try:
            read = template(source.pattern)
        except ValueError:
            self.wrong.add(name)  # told where the source is made
            return None
        return Partition(names=read.names or (name,), grain=read.grain)

    def _of_column(self, name: str, product: ProductDeclaration, where: Where) -> Partition | None:
        try:
            found = partition_by(product.partition_by)
        except ValueError as error:
            self.declared.problem(
                f"{name}: partition_by={error}", where, 'Write "day", or "month(invoiced_at)".'
            )
            return None
        [column] = found.names
        type = next(
            (c.type for c in self.declared.contract_of(name).columns if c.name == column), ""
        )
        if type == "DATE" and not found.grain:
            return replace(found, grain="day")
        if type and not found.grain and type not in _BY_VALUE:
            hint = (
                f'Write partition_by="day({column})" (or month).'
                if type.startswith("TIMESTAMP")
                else ""
            )
            self.declared.problem(
                f"{name}: it cannot be split by {column}, which is {type}", where, hint
            )
        if type and found.grain and not type.startswith(("DATE", "TIMESTAMP")):
            self.declared.problem(
                f"{name}: {product.partition_by} needs a date or a time; it is {type}", where
            )
        return found if found.grain else self._adopted(found, self.declared.inputs_of(name))

    def _adopted(self, own: Partition, inputs: Sequence[Input]) -> Partition:
        """Return the grain that a column has by the parts of the inputs that are split by it, too."""
        others = [other for i in inputs if (other := self.of(i.name)) and other.names == own.names]
        grains = {other.grain for other in others if other.grain == "day" or not other.in_rows}
        return replace(own, grain=min(grains)) if len(grains) == 1 else own

    # ------------------------------------------------------------------------------------------ inputs

    def settle(
        self, name: str, product: ProductDeclaration, inputs: Sequence[Input], where: Where
    ) -> tuple[Partition | None, tuple[Input, ...]]:
        """Return what a product is split by, and its inputs, each with whether and how it is followed."""
        own = self.of(name)
        for alias, asked in product.inputs.items():
            if isinstance(asked, PartsDeclaration) and own is None:
                told = f"{name} follows the parts of {alias}, and is in no parts itself"
                self.declared.problem(told, where, "Give it each= or partition_by=.")
        if own is None:
            if product.on_failed_part != "hold_product" and not (
                product.each or product.partition_by
            ):
                self.declared.problem(f"{name}: on_failed_part= is for a product in parts", where)
            return None, tuple(inputs)
        each = self.declared.refer(_each(product), name.partition(".")[0]) if product.each else None
        if each and each not in {i.name for i in inputs}:
            self.declared.problem(
                f"{name}: each={_called(product.each)} is none of its inputs", where
            )
        return own, tuple(self._follow(name, own, product, i, each) for i in inputs)

    def check_shown(self, graph: Graph) -> None:
        """Note tables that are split by what must not be shown: parts are called by it."""
        for name, product in graph.products.items():
            hidden = (
                secret(product.partition.names, graph.sensitive(name))
                if product.partition
                else set()
            )
            if hidden:
                told = f"{name} is split by {min(hidden)}, which is sensitive: its parts would be called by its values"
                self.declared.problem(
                    told,
                    product.where,
                    'Split it by something that may be shown. Where the name deceives: metadata={"sensitive": False}.',
                )

    def _follow(
        self, name: str, own: Partition, product: ProductDeclaration, i: Input, each: str | None
    ) -> Input:
        asked, other = product.inputs.get(i.alias), self.of(i.name)
        where = self.declared.here(product.where)
        if own.grain and other and other.names == own.names and not other.grain:
            told = f"{name} is by {shown(own)}, and nothing says that {own.names[0]} of {i.name} is a date"
            column = own.names[0]
            hint = f'Write {{{column}:date}} in the pattern, partition_by="day({column})", or give {i.name} a contract.'
            self.declared.problem(told, where, hint)
        if not isinstance(asked, PartsDeclaration):
            follows = other is not None and (i.name == each or alike(own, other))
            if follows and own.in_rows and has_window(self.declared.sql_of(name)):
                told = f"{name} looks at other rows (over ...), and sees {i.name} part by part, by {shown(own)}"
                hint = f'Say which it needs: inputs={{"{i.alias}": parts(back=6)}}, or parts() for its own alone.'
                self.declared.problem(told, where, hint)
            return replace(i, grain=other.grain) if other and follows else i
        if asked.all and asked.back:
            self.declared.problem(f"{name}: parts(all=True) of {i.name} has no back=", where)
        if asked.all and i.name == each:
            self.declared.problem(
                f"{name}: each={_called(product.each)} is followed, so not all of it is seen", where
            )
        if asked.all:
            return i
        if other is None:
            told = f"{name}: parts() of {i.name}, which is in no parts"
            self.declared.problem(
                told, where, "Give that partition_by=, each=, or a placeholder in its pattern."
            )
        elif not (coarser(other.grain, own.grain) and (own.grain or own.names == other.names)):
            told = f"{name}: a part by {shown(own)} is not made of whole parts of {i.name}, which is by {shown(other)}"
            by = own.names[0]
            self.declared.problem(
                told, where, f'If both are days, say so: partition_by="day({by})".'
            )
        elif asked.back and not own.in_rows:
            told = f"{name}: parts(back={asked.back}) needs rows that say of which part they are"
            self.declared.problem(
                told, where, f"Write partition_by= instead of each={_called(product.each)}."
            )
        elif asked.back and not own.grain:
            told = f"{name}: parts(back={asked.back}) is for parts in time, and nothing says that {shown(own)} is a date"
            hint = f'Write {{{own.names[0]}:date}} in the pattern, or partition_by="day({own.names[0]})".'
            self.declared.problem(told, where, hint)
        else:
            return replace(i, grain=other.grain, back=asked.back)
        return i


def _each(product: ProductDeclaration) -> object:
    return product.refers(product.each) if isinstance(product.each, str) else product.each


def _called(each: object) -> str:
    return repr(each if isinstance(each, str) else getattr(each, "name", None) or "a source")

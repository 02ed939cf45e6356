"""The names of a project's declarations, what references mean, and the problems found in them."""

import re
from pathlib import Path
from typing import Any

from assay.config import Config
from assay.declare.argument_types import wrong_arguments
from assay.declare.imports import Loaded, Local, domain_of
from assay.declare.landing import FILES, landed
from assay.declare.words import (
    ApprovalDeclaration,
    CalendarDeclaration,
    Collected,
    Declaration,
    FileDeclaration,
    ProductDeclaration,
    SourceDeclaration,
    WaiverDeclaration,
)
from assay.errors import DeclarationError, Problem
from assay.model import PREVIOUS, QUARANTINE, THIS, Where
from assay.plan.names import nearest

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,99}")
_NAME_HINT = "Names are lower-case letters, digits and _, up to 100, and do not start with a digit."
_RESERVED = {THIS, PREVIOUS, "main", "temp", "memory", "system", "information_schema", "pg_catalog"}


class Names:
    """The declarations of a project by full name (`domain.name`), and the problems found in them.

    Declarations of modules that could not be imported, or whose arguments are of the wrong type,
    have no name.
    """

    def __init__(self, config: Config, loaded: Loaded, local: Local) -> None:
        self.config, self.loaded, self.local = config, loaded, local
        self.problems = list(loaded.problems)
        self.declarations: dict[str, Declaration] = {}
        self.calendars: list[CalendarDeclaration] = []
        self.waivers: list[WaiverDeclaration] = []
        self.approvals: list[ApprovalDeclaration] = []
        self.files: list[Path] = []  # that declarations were read from, besides modules
        self._rejected: set[str] = set()  # bare names of declarations with arguments of wrong types
        for declaration in loaded.declarations:
            if isinstance(declaration, CalendarDeclaration):
                self.calendars.append(declaration)
            elif isinstance(declaration, WaiverDeclaration):
                self.waivers.append(declaration)
            elif isinstance(declaration, ApprovalDeclaration):
                self.approvals.append(declaration)
            elif declaration.module not in loaded.broken:
                self._add(declaration)

    @property
    def products(self) -> dict[str, ProductDeclaration]:
        """The declared products by full name."""
        declarations = self.declarations.items()
        return {name: d for name, d in declarations if isinstance(d, ProductDeclaration)}

    @property
    def sources(self) -> dict[str, SourceDeclaration]:
        """The declared sources by full name."""
        declarations = self.declarations.items()
        return {name: d for name, d in declarations if isinstance(d, SourceDeclaration)}

    # ------------------------------------------------------------------------------------ problems

    def report(self, message: str, where: Where, hint: str = "") -> None:
        """Add a problem."""
        self.problems.append(Problem(what=message, where=where, hint=hint))

    def raise_problems(self) -> None:
        """Raise DeclarationError with all problems, if there are any."""
        if self.problems:
            raise DeclarationError(self.problems)

    def relative(self, where: Where) -> Where:
        """Return a place with its file relative to the project."""
        return Where(self.local.inside(where.file), where.line)

    def report_unknown(
        self, reference: str, domain: str, where: Where, *, reader: str, sql: bool
    ) -> None:
        """Add the problem of a reference that names nothing, unless the cause is reported already.

        `reader` is the product, or the rule, that reads it.
        `sql` says whether the reference is a table in SQL, and so how the right name is written.
        """
        bare = reference.rpartition(".")[2]
        broken_domains = {domain_of(self.config, module) for module in self.loaded.broken}
        referenced_domain = reference.partition(".")[0] if "." in reference else domain
        if referenced_domain in broken_domains or bare in self._rejected:
            return
        if name := self.landed_from(_full(reference, domain)):
            message = f"{reference!r} are files that have not been checked"
            self.report(message, where, f"Read {name}, the rows that passed.")
            return
        if _is_path(reference):
            hint = "Declare files with source.files() and use its name."
            self.report(f"{reference!r} is not an input", where, hint)
            return
        namesakes = [name for name in self.declarations if name.partition(".")[2] == bare]
        if namesakes:
            full = namesakes[0]
            written = full if sql else f'inputs={{"{reference}": "{full}"}}'
            hint = f"Across domains, write {written}."
        else:
            default = "Declare it as a product or a source."
            hint = nearest(reference, [*self.declarations, PREVIOUS]) or default
        self.report(f"unknown input {reference!r} of {reader}", where, hint)

    # --------------------------------------------------------------------------------------- names

    def find(self, reference: Any, domain: str) -> str | None:
        """Return the full name of a name or a declaration, seen from a domain; None if unknown."""
        if isinstance(reference, SourceDeclaration | ProductDeclaration):
            declarations = self.declarations.items()
            return next((name for name, d in declarations if _is(d, reference)), None)
        full = _full(reference, domain)
        if self.landed_from(full):
            return None
        return full if full in self.declarations or self._is_quarantine(full) else None

    def landed_from(self, full: str) -> str:
        """Return the name of the source whose rows are stored from these files; '' for none."""
        name = full.removesuffix(f"__{FILES}")
        stored = self.declarations.get(name)
        is_stored = isinstance(stored, ProductDeclaration) and stored.lands is not None
        return name if name != full and is_stored else ""

    def is_file(self, full: str) -> bool:
        """Return True for a source or a product that is a file instead of a table."""
        declaration = self.declarations.get(full)
        if isinstance(declaration, ProductDeclaration):
            return bool(declaration.file)
        return isinstance(declaration, FileDeclaration)

    def _is_quarantine(self, full: str) -> bool:
        """Return True for the name of the product that holds the quarantined rows of another."""
        product = self.declarations.get(full.removesuffix(f"__{QUARANTINE}"))
        if not full.endswith(f"__{QUARANTINE}") or not isinstance(product, ProductDeclaration):
            return False
        return any(rule.on_failure == QUARANTINE for rule in product.rules)

    def _add(self, declaration: Declaration) -> None:
        where = self.relative(declaration.where)
        bare = declaration.name if declaration.name is not None else self.bound_name(declaration)
        if mistakes := list(wrong_arguments(declaration)):
            for mistake in mistakes:
                self.report(f"{declaration.name or 'this source'}: {mistake}", where)
            self._rejected.add(str(declaration.name or self.bound_name(declaration)))
            return
        if bare is None:
            hint = "Bind it to a module-level name, or give it name=."
            self.report("this source has no name", where, hint)
            return
        domain = declaration.domain or domain_of(self.config, declaration.module)
        if not (self._is_valid(bare, "name", where) and self._is_valid(domain, "domain", where)):
            return
        if isinstance(declaration, SourceDeclaration) and declaration.is_landed:
            for each in landed(declaration, bare):
                self._add_as(f"{domain}.{each.name}", each, where)
        else:
            self._add_as(f"{domain}.{bare}", declaration, where)

    def _add_as(self, full: str, declaration: Declaration, where: Where) -> None:
        """Add a declaration by its full name; report a name that is taken."""
        if full in self.declarations:
            first = self.relative(self.declarations[full].where)
            message = f"there are two {full}: the other is at {first}"
            self.report(message, where, "Rename one, or give it a domain=.")
            return
        self.declarations[full] = declaration

    def _is_valid(self, name: str, kind: str, where: Where) -> bool:
        """Return True for a text that can be a name or a domain; report it otherwise."""
        if _NAME.fullmatch(name) and name not in _RESERVED:
            return True
        reserved = " (it is reserved)" if name in _RESERVED else ""
        self.report(f"{name!r} cannot be a {kind}{reserved}", where, _NAME_HINT)
        return False

    def bound_name(self, declaration: Collected) -> str | None:
        """Return the module-level name that a declaration is bound to."""
        module = self.loaded.modules.get(declaration.module)
        variables = vars(module) if module else {}
        return next((name for name, value in variables.items() if value is declaration), None)


def _full(reference: Any, domain: str) -> str:
    """Return the full name of a name that is written in a domain."""
    return str(reference) if "." in str(reference) else f"{domain}.{reference}"


def _is(declaration: Declaration, reference: Any) -> bool:
    """Return True for what a module refers to by an object: itself, or the source that it stores."""
    lands = declaration.lands if isinstance(declaration, ProductDeclaration) else None
    return declaration is reference or (lands is not None and lands is reference)


def _is_path(reference: str) -> bool:
    """Return True for a reference that looks like a file instead of `name` or `domain.name`."""
    suffixes = (".csv", ".parquet", ".json")
    return "/" in reference or "." in reference.partition(".")[2] or reference.endswith(suffixes)

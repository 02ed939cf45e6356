"""Turns declarations into products: names, inputs, contracts and digests; collects every mistake on the way."""

import inspect
import re
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct, field
from msgspec.structs import replace

from assay.config import Config
from assay.declare import clocks as clockwords
from assay.declare.argument_types import FILE_NAME, is_file_name, wrong_shapes
from assay.declare.contracts import schema_digest
from assay.declare.effects import Effects
from assay.declare.handovers import handover_of, moment_without_turn, wrong_handover
from assay.declare.imports import Loaded, Local, domain_of
from assay.declare.loopvars import Declared, shared_variables
from assay.declare.manifest import content_digests, from_root, package_versions
from assay.declare.partitions import Partitions
from assay.declare.pycode import CodeDigest
from assay.declare.rules import Rulebook, sql_file, text_of, texts, told_apart
from assay.declare.sources import read_source
from assay.declare.words import (
    Declaration,
    FileDeclaration,
    ProductDeclaration,
    RuleDeclaration,
    SourceDeclaration,
)
from assay.engines.make import FILE, MOMENTS, Recipe
from assay.engines.sql import reader
from assay.engines.sql.tracing import traced
from assay.errors import DeclarationError, Problem
from assay.model import (
    PREVIOUS,
    QUARANTINE,
    THIS,
    Contract,
    Demand,
    Input,
    Kind,
    Product,
    Rule,
    Where,
)
from assay.plan.digests import code_of, digest
from assay.plan.graph import Graph, nearest
from assay.plan.moments import NEVER
from assay.rules.schema import NotASchema, Schema, read_schema
from assay.times import seconds_of

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,99}")
_RESERVED = {THIS, PREVIOUS, "main", "temp", "memory", "system", "information_schema", "pg_catalog"}
_LISTED = "reads in pyproject.toml"
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class Definition(Struct, frozen=True, kw_only=True):
    """What runs for a product: `recipe` makes it (None: its SQL does), `schema` holds the checks behind its rules."""

    recipe: Recipe | None = None
    schema: Schema = field(default_factory=Schema)


class _Made(Struct, frozen=True, kw_only=True):
    """How a product is made: by a recipe or SQL, of which inputs; `parts` digests the code."""

    recipe: Recipe | None = None
    sql: str = ""
    inputs: tuple[Input, ...] = ()
    parts: dict[str, str] = field(default_factory=dict)
    clocked: bool = False


class Resolved(Struct):
    """A project's graph, what runs for each product, and the files besides modules that they were read from."""

    graph: Graph
    definitions: dict[str, Definition] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def resolve(config: Config, loaded: Loaded, local: Local, salt: str) -> Resolved:
    """Return the products that the declarations make; DeclarationError with every mistake in them."""
    return _Resolver(config, loaded, local, salt).run()


class _Resolver:
    def __init__(self, config: Config, loaded: Loaded, local: Local, salt: str) -> None:
        self.config, self.loaded, self.local, self.salt = config, loaded, local, salt
        self.salt_of = cache(self._salt_of)
        self.packages = {
            f"package {name}": version for name, version in package_versions(config).items()
        }
        self.effects = Effects(local.tree_of, lambda: self.reach(registers=True))
        self.problems = list(loaded.problems)
        self.named: dict[str, Declaration] = {}
        self.aside: dict[
            str, str
        ] = {}  # of each product, the digest of the rules that set rows aside
        self.made: dict[str, _Made] = {}
        self.contracts: dict[str, tuple[Schema, Contract]] = {}
        self.partitions = Partitions(self)
        self.dropped: set[str] = set()  # bare names of what is told to be wrong already
        self.resolved = Resolved(graph=Graph(products={}, sources={}))

    def run(self) -> Resolved:
        for declaration in self.loaded.declarations:
            if declaration.module not in self.loaded.broken:
                self._name(declaration)
        sources = {
            n: read_source(n, d, self.here(d.where), self.partitions.of(n), self.problem)
            for n, d in self.named.items()
            if isinstance(d, SourceDeclaration)
        }
        declared = {n: d for n, d in self.named.items() if isinstance(d, ProductDeclaration)}
        self._check_loops(declared)
        with reader.read_ahead(text for d in declared.values() for text in texts(d)):
            products = {n: self._product(n, d) for n, d in declared.items()}
        products |= {
            q.name: q for p in products.values() if p.quarantines for q in [self._quarantine(p)]
        }
        graph = Graph(products=products, sources=sources)
        if not self.problems and (cycle := graph.cycle()):
            told = f"these products are made of each other: {' -> '.join(cycle)}"
            self.problem(
                told,
                products[cycle[0]].where,
                "Break the circle: one of them has to be made of something else.",
            )
        if self.problems:
            raise DeclarationError(self.problems)
        graph = traced(graph)
        self.partitions.check_shown(graph)
        if self.problems:
            raise DeclarationError(self.problems)
        self.resolved.graph = graph
        return self.resolved

    def _check_loops(self, declared: Mapping[str, ProductDeclaration]) -> None:
        """Tell of functions, of products and of rules, that all see the last value of a loop's variable."""
        found: list[Declared] = []
        for name, product in declared.items():
            found.append(Declared(name, product.where, product.make, product.variables))
            rules = product.rules if isinstance(product.rules, list | tuple) else ()
            checks = [rule for rule in rules if isinstance(rule, RuleDeclaration)]
            found += [
                Declared(f"a rule of {name}", r.where, r.function, r.variables) for r in checks
            ]
        for first, what, hint in shared_variables(found):
            self.problem(what, self.here(first.where), hint)

    def problem(self, what: str, where: Where, hint: str = "") -> None:
        self.problems.append(Problem(what=what, where=where, hint=hint))

    def here(self, where: Where) -> Where:
        return Where(self.local.inside(where.file), where.line)

    # ------------------------------------------------------------------------------------------ names

    def _name(self, declaration: Declaration) -> None:
        where = self.here(declaration.where)
        if wrong := list(wrong_shapes(declaration)):
            for what in wrong:
                self.problem(f"{declaration.name or 'this source'}: {what}", where)
            self.dropped.add(str(declaration.name or self._bound_name(declaration)))
            return
        bare = declaration.name if declaration.name is not None else self._bound_name(declaration)
        if bare is None:
            self.problem(
                "this source has no name",
                where,
                "Bind it to a module-level name, or give it name=.",
            )
            return
        domain = declaration.domain or domain_of(self.config, declaration.module)
        for word, what in ((bare, "name"), (domain, "domain")):
            if not isinstance(word, str) or not _NAME.fullmatch(word) or word in _RESERVED:
                reserved = " (it is reserved)" if word in _RESERVED else ""
                self.problem(
                    f"{word!r} cannot be a {what}{reserved}",
                    where,
                    "Names are lower-case letters, digits and _, up to 100, and do not start with a digit.",
                )
                return
        full = f"{domain}.{bare}"
        if full in self.named:
            first = self.here(self.named[full].where)
            self.problem(
                f"there are two {full}: the other is at {first}",
                where,
                "Rename one, or give it a domain=.",
            )
            return
        self.named[full] = declaration

    def _bound_name(self, declaration: Declaration) -> str | None:
        module = self.loaded.modules.get(declaration.module)
        return (
            next((n for n, v in vars(module).items() if v is declaration), None) if module else None
        )

    def refer(self, text: Any, domain: str) -> str | None:
        """Return the full name behind a reference from a domain, if there is one."""
        if isinstance(text, SourceDeclaration | ProductDeclaration):
            return next((name for name, d in self.named.items() if d is text), None)
        full = text if "." in str(text) else f"{domain}.{text}"
        return full if full in self.named or self._is_quarantine(str(full)) else None

    def _is_quarantine(self, full: str) -> bool:
        """Say whether a name is that of the rows which the rules of a product set aside."""
        declared = self.named.get(full.removesuffix(f"__{QUARANTINE}"))
        is_one = full.endswith(f"__{QUARANTINE}") and isinstance(declared, ProductDeclaration)
        return is_one and any(rule.on_failure == QUARANTINE for rule in declared.rules)  # type: ignore[union-attr]

    def unknown(self, text: str, domain: str, where: Where, *, sql: bool) -> None:
        broken = {domain_of(self.config, module) for module in self.loaded.broken}
        if (text.partition(".")[0] if "." in text else domain) in broken:
            return  # it may well be declared in the module that could not be imported, which is told
        if text.rpartition(".")[2] in self.dropped:
            return
        if (
            "/" in text
            or "." in text.partition(".")[2]
            or text.endswith((".csv", ".parquet", ".json"))
        ):
            self.problem(
                f"{text!r} is not an input",
                where,
                "Declare files with source.files() and use its name.",
            )
            return
        elsewhere = [
            full for full in self.named if full.partition(".")[2] == text.rpartition(".")[2]
        ]
        if elsewhere:
            written = elsewhere[0] if sql else f'inputs={{"{text}": "{elsewhere[0]}"}}'
            hint = f"Across domains, write {written}."
        else:
            hint = nearest(text, self.named) or "Declare it as a product or a source."
        self.problem(f"unknown input {text!r}", where, hint)

    # ------------------------------------------------------------------------------------------ products

    def _product(self, name: str, declared: ProductDeclaration) -> Product:
        where = self.here(declared.where)
        self._check_about(name, declared, where)
        schema, contract = self._contract(name, declared)
        kind = (
            Kind.SQL
            if isinstance(declared.make, str)
            else Kind.FILE
            if declared.file
            else Kind.FUNCTION
        )
        made = self._made(name, declared)
        inputs, parts = made.inputs, dict(made.parts)
        parts["types"] = digest([[c.name, c.type] for c in contract.columns])
        if aside := [rule for rule in contract.rules if rule.quarantines]:
            # What is set aside is decided while building, so those rules and what they read are part of the code.
            inputs = tuple(
                dict.fromkeys(
                    [*inputs, *(i for rule in aside for i in rule.inputs if i.name != THIS)]
                )
            )
            parts[QUARANTINE] = self.aside[name]
        parts["inputs"] = digest([[i.alias, i.name] for i in inputs])
        partition, inputs = self.partitions.settle(name, declared, inputs, where)
        if partition:
            self._check_parts(name, declared, where, aside=bool(aside))
            follows = [[i.alias, i.grain, i.back] for i in inputs]
            parts["partition"] = digest([partition, follows, declared.event_time])
        parts |= {"file": digest(declared.file)} if declared.file else {}
        self.resolved.definitions[name] = Definition(recipe=made.recipe, schema=schema)
        return Product(
            name=name,
            where=where,
            kind=kind,
            code=code_of(parts),
            contract=contract,
            owner=declared.owner,
            purpose=declared.purpose,
            inputs=inputs,
            consumers=tuple(declared.consumers),
            tags=tuple(declared.tags),
            event_time=declared.event_time,
            freshness=declared.freshness,
            release_group=declared.release_group or (f"{name} and its quarantine" if aside else ""),
            file=declared.file,
            sql=made.sql,
            partition=partition,
            holds_parts=declared.on_failed_part == "hold_part",
            retries=self.config.retries if declared.retries is None else declared.retries,
            timeout=seconds_of(
                self.config.timeout if declared.timeout is None else declared.timeout
            ),
            isolate=declared.isolate,
            changes_with=declared.changes_with,
            clocked=made.clocked or any(rule.clocked for rule in aside),
        )

    def _check_parts(
        self, name: str, declared: ProductDeclaration, where: Where, *, aside: bool
    ) -> None:
        if declared.file:
            self.problem(
                f"{name}: a file is not in parts", where, "Take each= and partition_by= away."
            )
        if aside:
            told = f"{name}: a product in parts cannot set rows aside"
            self.problem(
                told, where, 'Judge with on_failed_part="hold_part", or set them aside before.'
            )

    def _quarantine(self, product: Product) -> Product:
        """Return the product that holds the rows which the rules of another set aside."""
        name = f"{product.name}__{QUARANTINE}"
        if name in self.named:
            self.problem(
                f"{name} is where the rows go that {product.name} sets aside",
                product.where,
                "Rename yours.",
            )
        self.resolved.definitions[name] = Definition()
        return Product(
            name=name,
            where=product.where,
            kind=Kind.QUARANTINE,
            code=code_of({QUARANTINE: digest(product.name)}),
            contract=Contract(
                digest=digest([]), key=product.contract.key, sensitive=product.contract.sensitive
            ),
            owner=product.owner,
            purpose=f"The rows of {product.name} that broke a rule and were set aside, with the rules each broke.",
            inputs=(Input(alias=product.bare, name=product.name),),
            tags=product.tags,
            release_group=product.release_group,
        )

    def _check_about(self, name: str, declared: ProductDeclaration, where: Where) -> None:
        if not declared.owner:
            self.problem(
                f"{name} has no owner",
                where,
                'Say who answers for it: owner="team@company.example".',
            )
        if declared.freshness and not _TIME.fullmatch(declared.freshness.by):
            self.problem(
                f"{name}: freshness by {declared.freshness.by!r} is no time of day",
                where,
                'Write by="07:00".',
            )
        elif declared.freshness and not _is_zone(declared.freshness.tz):
            self.problem(
                f"{name}: freshness tz {declared.freshness.tz!r} is no time zone",
                where,
                'Write tz="Europe/London".',
            )
        if declared.file and not is_file_name(declared.file):
            self.problem(
                f"{name}: file={declared.file[:80]!r} should be a plain file name", where, FILE_NAME
            )
        if declared.file and declared.contract is not None:
            self.problem(
                f"{name}: a file has no contract",
                where,
                "Put the contract on the product it is made of.",
            )

    def inputs_of(self, name: str) -> tuple[Input, ...]:
        """Return the inputs of a declared product."""
        return self._made(name, self._product_called(name)).inputs

    def sql_of(self, name: str) -> str:
        """Return the query of a declared product, '' for one made by a function."""
        return self._made(name, self._product_called(name)).sql

    def _product_called(self, name: str) -> ProductDeclaration:
        return typing.cast(ProductDeclaration, self.named[name])

    def _made(self, name: str, declared: ProductDeclaration) -> _Made:
        if name not in self.made:
            by = self._sql if isinstance(declared.make, str) else self._function
            self.made[name] = by(name, declared, self.here(declared.where))
        return self.made[name]

    def _sql(self, name: str, declared: ProductDeclaration, where: Where) -> _Made:
        text = str(declared.make)
        spot = where
        if file := sql_file(declared):
            spot = self.here(Where(str(file), 1))
            try:
                if not file.resolve().is_relative_to(self.config.root.resolve()):
                    raise OSError(0, "it is outside the project")
                text = text_of(file)
                self.resolved.files.append(file)
            except (OSError, UnicodeDecodeError) as error:
                said = getattr(error, "strerror", None) or error
                self.problem(
                    f"{name}: cannot read {text.strip()}: {said}",
                    where,
                    f"It should be at {spot.file}.",
                )
                return _Made()
        parsed = self.parse(text, f"the SQL of {name}", spot, in_file=spot is not where)
        if parsed is None:
            return _Made(sql=text)
        domain = name.partition(".")[0]
        inputs = [
            i for t in parsed.tables if (i := self._input(str(t), declared, domain, spot, sql=True))
        ]
        within = text if spot is not where else ""
        self.problems += clockwords.in_query(
            declared, parsed, f"the SQL of {name}", spot, file=within
        )
        tables = {str(table) for table in parsed.tables}
        if unused := set(declared.inputs) - tables:
            self.problem(
                f"{name}: inputs= names {', '.join(sorted(unused))}, which is no table of its SQL",
                where,
            )
        return _Made(
            sql=parsed.statement,
            inputs=tuple(inputs),
            parts={"sql": parsed.meaning},
            clocked=bool(parsed.moving),
        )

    def parse(self, text: str, what: str, where: Where, *, in_file: bool) -> reader.Parsed | None:
        try:
            return reader.parse(text)
        except reader.Unreadable as error:
            if error.offset < 0:
                self.problem(f"{what}: {error.what}", where)
                return None
            line, column, shown = reader.place(text, error.offset)
            spot = Where(where.file, line) if in_file else where
            told = f"{what}, line {line} column {column}: {error.what}"
            self.problem(told, spot, f"{shown}\n{' ' * (column - 1)}^")
            return None

    def _input(
        self, text: str, declared: ProductDeclaration, domain: str, where: Where, *, sql: bool
    ) -> Input | None:
        asked = declared.refers(text)
        full = self.refer(asked, domain)
        if full is None:
            self.unknown(str(asked), domain, where, sql=sql)
            return None
        if sql and _is_file(self.named.get(full)):
            hint = "Read it in a function, @product(...), which takes it as a pathlib.Path, and query what that returns."
            self.problem(f"{full} is a file; SQL can only read tables", where, hint)
            return None
        return Input(alias=text, name=full)

    def _function(self, name: str, declared: ProductDeclaration, where: Where) -> _Made:
        function: Any = declared.make
        try:
            parameters = inspect.signature(function).parameters
            hints = typing.get_type_hints(inspect.unwrap(function))
        except (NameError, TypeError, ValueError, AttributeError) as error:
            self.problem(
                f"{name}: cannot read its parameters: {error}",
                where,
                "Import what its annotations name.",
            )
            return _Made()
        handovers: dict[str, str] = {}
        inputs: list[Input] = []
        target = ""
        domain = name.partition(".")[0]
        for parameter in parameters.values():
            alias = parameter.name
            known = self.refer(declared.refers(alias), domain)
            if parameter.kind in {
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
                parameter.POSITIONAL_ONLY,
            }:
                self.problem(
                    f"{name}: parameter {parameter} cannot be an input", where, "Name each input."
                )
                continue
            handover = handover_of(hints.get(alias))
            if known is None and handover == FILE and declared.file:
                target = alias
            elif known is None and handover in MOMENTS and parameter.default is parameter.empty:
                if not declared.changes_with:
                    self.problems.append(moment_without_turn(f"{name}: parameter {alias!r}", where))
            elif known is None and parameter.default is not parameter.empty:
                continue
            elif found := self._input(alias, declared, domain, where, sql=False):
                inputs.append(found)
                is_file = _is_file(self.named.get(found.name))
                wrong = wrong_handover(
                    f"{name}: parameter {alias!r}", hints.get(alias), where, is_file=is_file
                )
                self.problems += [wrong] if wrong else []
            handovers[alias] = handover
        if unused := set(declared.inputs) - set(parameters):
            self.problem(
                f"{name}: inputs= names {', '.join(sorted(unused))}, which is no parameter", where
            )
        reach = self.reach(declared)
        reach.visit(function.__qualname__, function)
        self.problems += clockwords.in_code(declared, reach, name, self.local)
        recipe = Recipe(function=function, handovers=handovers, target=target)
        changes = declared.changes_with not in {"", NEVER}
        parts = {**reach.parts, **self.effects.of(declared.module), **self.packages}
        parts |= {_LISTED: self.salt} if self.salt else {}  # the function may read it when it runs
        return _Made(recipe=recipe, inputs=tuple(inputs), parts=parts, clocked=changes)

    def reach(
        self, declared: ProductDeclaration | None = None, *, registers: bool = False
    ) -> CodeDigest:
        return CodeDigest(
            tree_of=self.local.tree_of,
            load=self.local.load,
            origin=declared.where.file if declared else "",
            salt_of=self.salt_of,
            fills_of=self.local.fills_of,
            modules_in=self.local.modules_in,
            registers=registers,
        )

    def _salt_of(self, file: str) -> str:
        """Return the digest of what `reads` names, and of what a module read as it was imported."""
        read = [from_root(self.config, path) for path in self.local.read_by(file)]
        return digest([self.salt, content_digests(self.config, read)]) if read else self.salt

    # ------------------------------------------------------------------------------------------ contracts

    def contract_of(self, name: str) -> Contract:
        """Return the contract of a declared product."""
        return self._contract(name, self._product_called(name))[1]

    def _contract(self, name: str, declared: ProductDeclaration) -> tuple[Schema, Contract]:
        if name not in self.contracts:
            self.contracts[name] = self._read_contract(name, declared, self.here(declared.where))
        return self.contracts[name]

    def _read_contract(
        self, name: str, declared: ProductDeclaration, where: Where
    ) -> tuple[Schema, Contract]:
        told: list[Any] = []
        schema = Schema()
        if declared.contract is not None:
            try:
                schema = read_schema(declared.contract, where)
                told.append(schema_digest(declared.contract, schema, reach := self.reach(declared)))
                self.problems += clockwords.in_code(
                    declared, reach, f"the contract of {name}", self.local
                )
            except NotASchema as error:
                self.problem(
                    f"{name}: {error}",
                    where,
                    "Give a pandera.polars DataFrameModel or DataFrameSchema.",
                )
            except (
                Exception
            ) as error:  # pandera reads a model only now, and raises anything for a bad one
                self.problem(
                    f"{name}: its contract cannot be read: {type(error).__name__}: {error}", where
                )
        if (
            schema.pandera
            and declared.event_time
            and declared.event_time not in schema.pandera.columns
        ):
            self.problem(
                f"{name}: event_time {declared.event_time!r} is no column of its contract",
                where,
                nearest(declared.event_time, schema.pandera.columns),
            )
        book = Rulebook(self, name, declared, schema)
        rules = told_apart([*schema.rules, *book.read()])
        if any(rule.quarantines for rule in rules):
            accounted = Demand(kind="accounted", place=":accounted")
            text = "every row is published or set aside"
            rules += (Rule(text=text, where=where, dimension="completeness", demand=accounted),)
        if any(rule.demand and rule.demand.kind == "custom" for rule in rules):
            told += [self.salt] if self.salt else []  # a check may read it when it runs
            told += [self.packages] if self.packages else []
        contract = Contract(
            digest=digest(
                [
                    *told,
                    *book.told,
                    *([held] if (held := declared.on_failed_part) == "hold_part" else []),
                ]
            ),
            columns=schema.columns,
            key=schema.key,
            rules=rules,
            sensitive=schema.sensitive,
            cleared=schema.cleared,
        )
        self.aside[name] = digest(book.aside)
        return replace(schema, checks={**schema.checks, **book.checks}), contract


def _is_file(declared: Declaration | None) -> bool:
    """Say whether something declared is a file, and no table."""
    return isinstance(declared, FileDeclaration) or (
        isinstance(declared, ProductDeclaration) and bool(declared.file)
    )


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False

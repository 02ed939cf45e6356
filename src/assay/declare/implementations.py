"""Declared functions and SQL to implementations: what runs for a product, and from which inputs."""

import inspect
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from assay.declare import clocks
from assay.declare.handovers import handover_of, moment_without_turn, wrong_handover
from assay.declare.names import Names
from assay.declare.project_code import ProjectCode
from assay.declare.queries import is_foreign, parse_query, sql_file, text_of, translated
from assay.declare.words import ProductDeclaration
from assay.engines.make import FILE, MOMENTS, Recipe
from assay.model import PREVIOUS, Input, Where
from assay.plan.moments import NEVER

_READS = "reads in pyproject.toml"  # the name of its digest among those of the code


class Implementation(Struct, frozen=True, kw_only=True):
    """How a product is built: by the function of `recipe`, or by `sql`, which may be in `sql_file`.

    `digests` are those of the code, by what they are of; `clocked` says that the code uses the
    moment it runs for, and `reads_previous` that it reads the product's own published version.
    """

    recipe: Recipe | None = None
    sql: str = ""
    sql_file: Path | None = None
    inputs: tuple[Input, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    clocked: bool = False
    reads_previous: bool = False


def read_implementation(
    name: str, declared: ProductDeclaration, names: Names, code: ProjectCode
) -> Implementation:
    """Return how a declared product is built; its problems are reported to `names`."""
    if isinstance(declared.make, str):
        return _read_sql(name, declared, names)
    return _read_function(name, declared, names, code)


# --------------------------------------------------------------------------------------------- SQL


def _read_sql(name: str, declared: ProductDeclaration, names: Names) -> Implementation:
    file = sql_file(declared)
    text = _file_text(name, file, declared, names) if file else str(declared.make)
    if text is None:
        return Implementation()
    where = names.relative(Where(str(file), 1) if file else declared.where)
    label = f"the SQL of {name}"
    in_file = file is not None
    if is_foreign(declared.dialect):
        in_duckdb = translated(text, declared, label, where, names, in_file=in_file)
        if in_duckdb is None:
            return Implementation()
        text, in_file = in_duckdb, False
        label += f", translated from {declared.dialect}"
    parsed = parse_query(text, label, where, names, in_file=in_file)
    if parsed is None:
        return Implementation(sql=text)
    tables = [str(table) for table in parsed.tables]
    others = [t for t in tables if t.lower() != PREVIOUS or t in declared.inputs]
    inputs = [_find_input(table, name, declared, where, names, sql=True) for table in others]
    source = clocks.QuerySource(label, where, file_text=text if in_file else "")
    names.problems += clocks.in_query(declared, parsed, source, needs_names=True)
    _report_unused(name, declared, others, "table of its SQL", names)
    return Implementation(
        sql=parsed.statement,
        sql_file=file,
        inputs=tuple(i for i in inputs if i),
        digests={"sql": parsed.meaning},
        clocked=bool(parsed.moving),
        reads_previous=len(others) < len(tables),
    )


def _file_text(name: str, file: Path, declared: ProductDeclaration, names: Names) -> str | None:
    """Return the text of a product's SQL file; None, with the problem reported, if unreadable."""
    try:
        if not file.resolve().is_relative_to(names.config.root.resolve()):
            raise OSError(0, "it is outside the project")
        return text_of(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{name}: cannot read {str(declared.make).strip()}: {reason}"
        expected = names.local.inside(str(file))
        names.report(message, names.relative(declared.where), f"It should be at {expected}.")
        return None


# --------------------------------------------------------------------------------------- functions


def _read_function(
    name: str, declared: ProductDeclaration, names: Names, code: ProjectCode
) -> Implementation:
    function: Any = declared.make
    try:
        signature = inspect.signature(function).parameters
        annotations = typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, ValueError, AttributeError) as error:
        message = f"{name}: cannot read its parameters: {error}"
        names.report(message, names.relative(declared.where), "Import what its annotations name.")
        return Implementation()
    parameters = _Parameters(name, declared, names)
    for parameter in signature.values():
        parameters.read(parameter, annotations.get(parameter.name))
    _report_unused(name, declared, signature, "parameter", names)
    reach = code.start_digest(declared)
    reach.visit(function.__qualname__, function)
    names.problems += clocks.in_code(declared, reach, name, names.local)
    digests = {**reach.parts, **code.import_effects(declared.module), **code.packages}
    if code.reads:  # the function may read it when it runs
        digests[_READS] = code.reads
    return Implementation(
        recipe=Recipe(function=function, handovers=parameters.handovers, target=parameters.target),
        inputs=tuple(parameters.inputs),
        digests=digests,
        clocked=declared.changes_with not in {"", NEVER},
        reads_previous=parameters.reads_previous,
    )


class _Parameters:
    """The parameters of one function; `target` is the one for the path of the product's file."""

    def __init__(self, name: str, declared: ProductDeclaration, names: Names) -> None:
        self.name, self.declared, self.names = name, declared, names
        self.where = names.relative(declared.where)
        self.inputs: list[Input] = []
        self.handovers: dict[str, str] = {}
        self.target = ""
        self.reads_previous = False

    def read(self, parameter: inspect.Parameter, annotation: Any) -> None:
        """Add a parameter: an input, the path of the product's file, or the moment."""
        alias = parameter.name
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            message = f"{self.name}: parameter {parameter} cannot be an input"
            self.names.report(message, self.where, "Name each input.")
            return
        reference = self.declared.refers(alias)
        is_input = self.names.find(reference, _domain(self.name)) is not None
        handover = handover_of(annotation)
        has_default = parameter.default is not parameter.empty
        if alias == PREVIOUS and not is_input and not has_default:
            self.reads_previous = True
            self._check_handover(alias, annotation, is_file=False)
        elif not is_input and handover == FILE and self.declared.file:
            self.target = alias
        elif not is_input and has_default:
            return
        elif not is_input and handover in MOMENTS:
            if not self.declared.changes_with:
                label = f"{self.name}: parameter {alias!r}"
                self.names.problems.append(moment_without_turn(label, self.where))
        else:
            self._add_input(alias, annotation)
        self.handovers[alias] = handover

    def _add_input(self, alias: str, annotation: Any) -> None:
        found = _find_input(alias, self.name, self.declared, self.where, self.names)
        if found is None:
            return
        self.inputs.append(found)
        self._check_handover(alias, annotation, is_file=self.names.is_file(found.name))

    def _check_handover(self, alias: str, annotation: Any, *, is_file: bool) -> None:
        label = f"{self.name}: parameter {alias!r}"
        problem = wrong_handover(label, annotation, self.where, is_file=is_file)
        if problem:
            self.names.problems.append(problem)


# ------------------------------------------------------------------------------------------ inputs


def _find_input(
    alias: str,
    name: str,
    declared: ProductDeclaration,
    where: Where,
    names: Names,
    *,
    sql: bool = False,
) -> Input | None:
    """Return the input behind a table or a parameter; None, with the problem reported, for none."""
    reference = declared.refers(alias)
    full = names.find(reference, _domain(name))
    if full is None:
        names.report_unknown(str(reference), _domain(name), where, reader=name, sql=sql)
        return None
    if sql and names.is_file(full):
        hint = (
            "Read it in a function, @product(...), which takes it as a pathlib.Path,"
            " and query what that returns."
        )
        names.report(f"{full} is a file; SQL can only read tables", where, hint)
        return None
    return Input(alias=alias, name=full)


def _report_unused(
    name: str, declared: ProductDeclaration, used: Iterable[str], kind: str, names: Names
) -> None:
    """Report the keys of `inputs=` that are not in use as parameters or tables."""
    unused = ", ".join(sorted(set(declared.inputs) - set(used)))
    if unused:
        where = names.relative(declared.where)
        names.report(f"{name}: inputs= names {unused}, which is no {kind}", where)


def _domain(name: str) -> str:
    return name.partition(".")[0]

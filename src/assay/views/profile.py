"""Suggests a contract: profiles a source or a published product, and writes pandera code."""

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.evidence import never_shown
from assay.build.failures import of_source
from assay.build.inputs import Inputs
from assay.engines.damage import damage_reported
from assay.engines.duckdb import DuckDB, select
from assay.engines.formats.inspect import inspect
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles
from assay.engines.types import DECIMAL, INTEGERS
from assay.errors import BuildError, SourceFault, UsageError
from assay.facts import UndeclaredColumn, Version, short
from assay.plan.graph import Graph
from assay.sensitive import PERSONAL, personal
from assay.sensitive import secret as secret_names
from assay.views.type_code import nested_annotation
from assay.views.undeclared_columns import commented, suggested_columns

if TYPE_CHECKING:
    import duckdb

_FEW = 30  # most distinct texts that are suggested as a set of values
_OFTEN = 10  # least average number of rows for each value of such a set
_MOSTLY = 0.95  # least share of the texts that the suggested shapes match
_ALL = 1 - 1e-9  # a share from which on all texts match
_PAIRS = 15  # pairs of columns that are tried as a key
_FLOATS = {"DOUBLE", "FLOAT"}
_PLAIN = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "VARCHAR": "str",
    "BOOLEAN": "bool",
    "DATE": "pl.Date",
    "TIME": "pl.Time",
    "TIMESTAMP": "pl.Datetime",
    "TINYINT": "pl.Int8",
    "SMALLINT": "pl.Int16",
    "INTEGER": "pl.Int32",
    "UTINYINT": "pl.UInt8",
    "USMALLINT": "pl.UInt16",
    "UINTEGER": "pl.UInt32",
    "UBIGINT": "pl.UInt64",
    "FLOAT": "pl.Float32",
    "BLOB": "pl.Binary",
    "TIMESTAMP_MS": 'Annotated[pl.Datetime, "ms", None]',
    "TIMESTAMP_NS": 'Annotated[pl.Datetime, "ns", None]',
    "TIMESTAMP WITH TIME ZONE": 'Annotated[pl.Datetime, "us", "UTC"]',
}
_READS_AS = {
    "whole numbers": "regexp_full_match({0}, '[+-]?[0-9]{{1,18}}')",
    "numbers": "try_cast({0} as double) is not null",
    "dates": "length({0}) <= 10 and try_cast({0} as date) is not null",
    "times": "try_cast({0} as timestamp) is not null",
}
_SPECIAL = set(r"\.+*?()|[]{}^$")


class Profile(Struct, frozen=True, kw_only=True):
    """The profile of a column: counts of rows and nulls, bounds, and its values if they are few.

    `shapes` are regular expressions, each with the share of the texts that match, most frequent
    first. `reads_as` says what all texts can be parsed as. A `secret` column has no bounds, values
    or shapes. `likely`: its name or its values look personal.
    `description` is the one that is declared.
    """

    name: str
    type: str
    rows: int
    nulls: int
    different: int
    low: Any = None
    high: Any = None
    values: tuple[str, ...] = ()
    shapes: tuple[tuple[str, float], ...] = ()
    reads_as: str = ""
    secret: bool = False
    likely: bool = False
    description: str = ""


class Suggestion(Struct, frozen=True, kw_only=True):
    """A contract as pandera code, and the profiles that it is based on."""

    code: str
    rows: int
    key: tuple[str, ...] = ()
    columns: tuple[Profile, ...] = field(default=())


def suggestion(
    graph: Graph, inputs: Inputs, name: str, undeclared: Sequence[UndeclaredColumn] = ()
) -> Suggestion:
    """Return a contract for a source as it is now, or for the published version of a product.

    `undeclared` are columns of the files of a source, whose declarations are appended as comments.
    """
    product = graph.products.get(name)
    version = ""
    if product is not None:
        version = short(_published_table(inputs, name).id)
    elif missing := inputs.observed.sources[name].missing:
        raise UsageError(missing)
    elif graph.sources[name].is_file:
        hint = "`products show` says where it is."
        raise UsageError(f"{name} is a file, so it has no columns", hint=hint)
    files, engine = inputs.published(name), inputs.engine()
    try:
        with damage_reported([files.table]):
            if files.source and files.source.is_text:
                inspect(files, files.paths, engine)
            sensitive = _sensitive(graph, name)
            if product is not None:
                sensitive |= never_shown(inputs, product, files.table)
            found = suggest(files, version, sensitive, engine, _descriptions(graph, name))
            if product is not None and product.files and undeclared:
                files = inputs.files_of(product.files, product.files)
            if not files.source:
                return found
            more = commented(name, suggested_columns(files, undeclared, engine))
            return replace(found, code=f"{found.code}{more}")
    except SourceFault as fault:
        raise BuildError(of_source(fault, graph)) from None
    finally:
        engine.close()


def _published_table(inputs: Inputs, name: str) -> Version:
    """Return the published version of a product; UsageError if it has no columns or is missing."""
    facts, hint = inputs.observed.facts, "`products status` says what is."
    pointer = facts.pointer(name)
    if pointer is None:
        raise UsageError(f"{name} is not published yet", hint=hint)
    version = facts.version(pointer.version)
    if not version.columns:
        raise UsageError(f"{name} is a file, so it has no columns", hint=hint)
    return version


def _sensitive(graph: Graph, name: str) -> set[str]:
    """Return the patterns of sensitive columns; for a source, also those of its downstream."""
    is_source = name in graph.sources
    return set(graph.sensitive_in_source(name) if is_source else graph.sensitive(name))


def _descriptions(graph: Graph, name: str) -> dict[str, str]:
    """Return the declared descriptions of the columns of a source or a product, by column."""
    source = graph.sources.get(name)
    columns = source.columns if source else graph.products[name].contract.columns
    return {column.name: column.description for column in columns}


def suggest(
    files: InputFiles,
    version: str,
    sensitive: Iterable[str],
    engine: DuckDB,
    descriptions: Mapping[str, str],
) -> Suggestion:
    """Profile a source or a version, and return a contract with these descriptions of columns.

    Of columns that are sensitive, or look personal, only the type and the nulls are profiled.
    """
    with engine.cursor() as cursor:
        cursor.execute(f"create or replace temp view profiled as {select(files)}")
        described = cursor.execute("describe profiled").fetchall()
        (rows,) = cursor.execute("select count(*) from profiled").fetchone() or (0,)
        columns = [(row[0], row[1]) for row in described]
        secret = secret_names([name for name, _ in columns], sensitive)
        likely = _personal(cursor, [column for column in columns if column[0] not in secret])
        profiles = [
            _profile(cursor, name, type, rows, secret=name in secret, likely=name in likely)
            for name, type in columns
        ]
        profiles = [replace(p, description=descriptions.get(p.name, "")) for p in profiles]
        key = _key(cursor, [p for p in profiles if not p.secret], rows)
    code = "\n".join(_code(files.name, version, rows, profiles, key))
    return Suggestion(code=code, rows=rows, key=key, columns=tuple(profiles))


# ----------------------------------------------------------------------------------- profiling


def _personal(cursor: "duckdb.DuckDBPyConnection", columns: Sequence[tuple[str, str]]) -> set[str]:
    """Return the columns whose name, or one of whose texts, looks personal."""
    by_name = {name for name, _ in columns if personal(name)}
    texts = [name for name, type in columns if type == "VARCHAR"]
    if not texts:
        return by_name
    pattern = literal("|".join(f"({pattern})" for pattern in PERSONAL))
    matches = ", ".join(
        f"coalesce(bool_or(regexp_full_match(trim({identifier(name)}), {pattern})), false)"
        for name in texts
    )
    row = cursor.execute(f"select {matches} from profiled").fetchone()
    return by_name | {name for name, match in zip(texts, row or (), strict=True) if match}


def _profile(
    cursor: "duckdb.DuckDBPyConnection",
    name: str,
    type: str,
    rows: int,
    *,
    secret: bool,
    likely: bool,
) -> Profile:
    secret = secret or likely
    column = identifier(name)
    ordered = type in INTEGERS | _FLOATS | {"DATE", "TIMESTAMP"} or bool(DECIMAL.match(type))
    bounds = f"min({column}), max({column})" if ordered and not secret else "null, null"
    counts = f"count(*) - count({column}), approx_count_distinct({column})"
    row = cursor.execute(f"select {counts}, {bounds} from profiled").fetchone()
    assert row is not None
    nulls, different, low, high = row
    profile = Profile(
        name=name, type=type, rows=rows, nulls=nulls, different=different, low=low, high=high
    )
    if secret:
        return replace(profile, different=0, secret=True, likely=likely)
    if type != "VARCHAR" or nulls == rows:
        return profile
    if values := _few_values(cursor, column, profile):
        return replace(profile, values=values)
    reads_as = _reads_as(cursor, column)
    shapes = () if "number" in reads_as else _shapes(cursor, column, rows - nulls)
    return replace(profile, shapes=shapes, reads_as=reads_as)


def _few_values(
    cursor: "duckdb.DuckDBPyConnection", column: str, profile: Profile
) -> tuple[str, ...]:
    """Return the distinct texts of a column, if they are few and each is frequent; else ()."""
    if profile.different > 2 * _FEW:
        return ()
    query = f"select distinct {column} from profiled where {column} is not null order by 1"
    values = tuple(str(value) for (value,) in cursor.execute(query).fetchmany(_FEW + 1))
    is_frequent = profile.rows - profile.nulls >= _OFTEN * len(values)
    return values if len(values) <= _FEW and is_frequent else ()


def _shapes(
    cursor: "duckdb.DuckDBPyConnection", column: str, count: int
) -> tuple[tuple[str, float], ...]:
    """Return the at most four shapes that nearly all texts have, each with its share; else ()."""
    shape = column
    for letters, sign in (("[0-9]", "9"), ("[A-Z]", "A"), ("[a-z]", "a")):
        shape = f"regexp_replace({shape}, '{letters}', '{sign}', 'g')"
    rows = cursor.execute(
        f"select {shape} as shape, count(*) as n from profiled"
        f" where {column} is not null and length({column}) <= 40"
        " group by 1 order by n desc, shape limit 4"
    ).fetchall()
    if sum(n for text, n in rows if "aa" in text) > (1 - _MOSTLY) * count:  # words, not codes
        return ()
    shapes = [(_regex(text), n / count) for text, n in rows if n / count >= 0.005]
    return tuple(shapes) if sum(share for _, share in shapes) >= _MOSTLY else ()


def _regex(shape: str) -> str:
    """Return a regular expression for a shape: runs of classes of characters, and other text."""
    patterns = {sign: f"\\{sign}" for sign in _SPECIAL}
    patterns |= {"9": r"\d", "A": "[A-Z]", "a": "[a-z]"}
    regex = ""
    for match in re.finditer(r"(.)\1*", shape, re.DOTALL):
        character, length = match[1], len(match[0])
        regex += patterns.get(character, character)
        if length > 1:
            regex += f"{{{length}}}"
    return regex


def _reads_as(cursor: "duckdb.DuckDBPyConnection", column: str) -> str:
    """Return what all texts of a column can be parsed as; codes with a leading zero are texts."""
    casts = ", ".join(
        f"coalesce(bool_and({test.format(column)}), false)" for test in _READS_AS.values()
    )
    code = f"coalesce(bool_or(regexp_matches({column}, '^0[0-9]')), false)"
    row = cursor.execute(
        f"select {code}, {casts} from profiled where {column} is not null"
    ).fetchone()
    assert row is not None
    is_code, *fits = row
    kinds = [kind for kind, fit in zip(_READS_AS, fits, strict=True) if fit]
    return "" if is_code or not kinds else kinds[0]


def _key(
    cursor: "duckdb.DuckDBPyConnection", profiles: Sequence[Profile], rows: int
) -> tuple[str, ...]:
    """Return the first column, or pair of columns, that is unique; () if there is none."""
    if rows <= 1:
        return ()
    full = [p for p in profiles if not p.nulls]
    columns = [p for p in full if p.type not in _FLOATS and not p.type.endswith(("]", ")"))]
    columns += [p for p in full if DECIMAL.match(p.type)]
    singles: list[tuple[Profile, ...]] = [(p,) for p in columns if p.different >= 0.9 * rows]
    pairs = [
        (first, second)
        for first, second in combinations(columns, 2)
        if first.different * second.different >= 0.9 * rows
    ]
    for candidate in [*singles, *pairs[:_PAIRS]]:
        names = ", ".join(identifier(p.name) for p in candidate)
        query = f"select 1 from profiled group by {names} having count(*) > 1 limit 1"
        if cursor.execute(query).fetchone() is None:
            return tuple(p.name for p in candidate)
    return ()


# ---------------------------------------------------------------------------------------- code


def _code(
    name: str, version: str, rows: int, profiles: Sequence[Profile], key: Sequence[str]
) -> Iterable[str]:
    """Yield the lines of a pandera model, and of rules for what most rows meet."""
    if any("Annotated" in _annotation(profile.type) for profile in profiles):
        yield from ["from typing import Annotated", ""]
    rules = [line for profile in profiles for line in _rule(profile)]
    yield from ["import pandera.polars as pa", "import polars as pl", ""]
    yield from ["from assay import rule", ""] if rules else []
    yield ""
    yield f"class {_class_name(name)}(pa.DataFrameModel):"
    yield f'    """Seen in {name}{f" {version}" if version else ""}: {rows:,} rows."""'
    yield ""
    taken: set[str] = {profile.name for profile in profiles if _is_plain(profile.name)}
    for profile in profiles:
        yield from _field(
            profile, _label(profile.name, taken), unique=len(key) == 1 and profile.name == key[0]
        )
    if len(key) > 1:
        yield from ["", "    class Config:", f"        unique = [{', '.join(map(_quoted, key))}]"]
    if rules:
        yield from [
            "",
            "",
            "# What most rows meet, and some do not: rules with a tolerance, for the product.",
            "rules = [",
        ]
        yield from (f"    {line}" for line in rules)
        yield "]"


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _label(name: str, taken: set[str]) -> str:
    """Return the attribute of a column, and add it to `taken`; no other column has it."""
    if _is_plain(name):
        return name
    label = first = re.sub(r"\W", "_", f"column_{name}", flags=re.ASCII)
    number = 1
    while label in taken:
        number += 1
        label = f"{first}_{number}"
    taken.add(label)
    return label


def _field(profile: Profile, label: str, *, unique: bool) -> Iterable[str]:
    annotation, inside = _annotation(profile.type), ""
    if not annotation:
        annotation, inside = nested_annotation(profile.type)
    if not annotation:
        yield f"    # {label}: {profile.type}: a type to be written by hand"
        return
    arguments = {} if _is_plain(profile.name) else {"alias": _quoted(profile.name)}
    if profile.description:
        arguments["description"] = _quoted(profile.description)
    if inside:
        arguments["dtype_kwargs"] = inside
    arguments |= _demands(profile)
    if unique:
        arguments["unique"] = "True"
    pandera = ""
    if arguments:
        pandera = f" = pa.Field({', '.join(f'{k}={v}' for k, v in arguments.items())})"
    yield f"    {label}: {annotation}{pandera}  # {_observation(profile)}"


def _demands(profile: Profile) -> dict[str, str]:
    """Return arguments of `pa.Field`: what the values meet, and are likely to go on meeting."""
    demands: dict[str, str] = {}
    if profile.values:
        demands["isin"] = f"[{', '.join(map(_quoted, profile.values))}]"
    elif profile.shapes and _share(profile) > _ALL:
        demands["str_matches"] = _pattern(profile)
    is_number = isinstance(profile.low, int | float) or DECIMAL.match(profile.type)
    if is_number and profile.low is not None and profile.low >= 0:
        demands["ge" if profile.low == 0 else "gt"] = "0"
        if 0.5 < profile.high <= 1 and profile.type not in INTEGERS:  # a share
            demands["le"] = "1"
    if profile.nulls:
        demands["nullable"] = "True"
    if profile.secret:
        demands["metadata"] = '{"sensitive": True}'
    return demands


def _rule(profile: Profile) -> Iterable[str]:
    """Yield a rule with a tolerance, if most texts of a column have a shape and some do not."""
    share = _share(profile)
    if profile.shapes and share <= _ALL:
        text, column = _quoted(f"{profile.name} looks as it mostly does"), _quoted(profile.name)
        check = f"pa.Check.str_matches({_pattern(profile)})"
        bound = max(1, round((1 - share) * 200))
        note = f"{share:.1%} of {profile.rows - profile.nulls:,}"
        yield f'rule.check({text}, {check}, column={column}, fail_above="{bound} %"),  # {note}'


def _share(profile: Profile) -> float:
    """Return the share of the texts of a column that have one of its shapes."""
    return sum(share for _, share in profile.shapes)


def _pattern(profile: Profile) -> str:
    """Return the regular expression for the shapes of a column, as a Python literal."""
    shapes = [shape for shape, _ in profile.shapes]
    regex = shapes[0] if len(shapes) == 1 else f"({'|'.join(shapes)})"
    quote = "'" if '"' in regex else '"'
    if quote in regex or "\n" in regex:
        return repr(f"^{regex}$")
    return f"r{quote}^{regex}${quote}"


def _observation(profile: Profile) -> str:
    """Return in words what was observed of a column, and on what share of the rows."""
    phrases = ["in every row"]
    if profile.nulls:
        share = (profile.rows - profile.nulls) / profile.rows
        phrases = [f"in {share:.1%} of rows"]
    if profile.low is not None:
        phrases.append(f"{profile.low} to {profile.high}")
    if not profile.secret:
        about = "about " if profile.different > _FEW else ""
        phrases.append(f"{about}{profile.different:,} different")
    if profile.likely:
        phrases.append("may be personal: if not, take the mark away")
    if profile.reads_as:
        phrases.append(f"all can be read as {profile.reads_as}")
    return ", ".join(phrases)


def _annotation(type: str) -> str:
    if decimal := DECIMAL.match(type):
        return f"Annotated[pl.Decimal, {decimal[1]}, {decimal[2]}]"
    return _PLAIN.get(type, "")


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.rpartition(".")[2].split("_"))


def _quoted(text: str) -> str:
    """Return a text as a Python literal, in double quotes if it needs no escapes."""
    return f'"{text}"' if text.isprintable() and not set('"\\') & set(text) else ascii(text)

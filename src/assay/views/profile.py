"""Suggests a contract: profiles what a source or a published product holds, and writes it down as pandera code."""

import keyword
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

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
from assay.facts import short
from assay.plan.graph import Graph
from assay.sensitive import PERSONAL, personal
from assay.sensitive import secret as secret_names

if TYPE_CHECKING:
    import duckdb

_FEW = 30  # up to so many different texts are taken for a set
_OFTEN = 10  # and each has to be there so often, on average
_MOSTLY = 0.95  # a shape that so many texts have is worth a rule
_PAIRS = 15  # sets of two columns tried as a key
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
    """What a column holds: of `rows`, how many are null; least and greatest; its values where they are few.

    `shapes` are regular expressions with the share of the texts that have them, the most frequent first. `reads_as` is
    what all of its texts could be read as. Nothing else is known of what is `secret`; `likely`: its
    name or its values look personal.
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


class Suggestion(Struct, frozen=True, kw_only=True):
    """A contract as pandera code, and what it was made of."""

    code: str
    rows: int
    key: tuple[str, ...] = ()
    columns: tuple[Profile, ...] = field(default=())


def suggestion(graph: Graph, shelf: Inputs, name: str) -> Suggestion:
    """Return what to demand of a source as it is now, or of what readers see of a product."""
    product = graph.products.get(name)
    version = ""
    if product is not None:
        pointer = shelf.observed.facts.pointer(name)
        if pointer is None or not shelf.observed.facts.version(pointer.version).columns:
            told = (
                f"{name} is a file, so it has no columns"
                if pointer
                else f"{name} is not published yet"
            )
            raise UsageError(told, hint="`products status` says what is.")
        version = short(pointer.version)
    elif missing := shelf.observed.sources[name].missing:
        raise UsageError(missing)
    elif graph.sources[name].is_file:
        raise UsageError(
            f"{name} is a file, so it has no columns", hint="`products show` says where it is."
        )
    files, engine = shelf.published(name), shelf.engine()
    try:
        with damage_reported([files.table]):
            if files.source and files.source.is_text:
                inspect(files, files.paths, engine)
            hide = _sensitive(graph, name) | (
                never_shown(shelf, product, files.table) if product else set()
            )
            return suggest(files, version, hide, engine)
    except SourceFault as fault:
        raise BuildError(of_source(fault, graph)) from None
    finally:
        engine.close()


def _sensitive(graph: Graph, name: str) -> set[str]:
    """Return the patterns of columns never to be shown: of a source, those that a product made of it keeps."""
    readers = graph.downstream(name) if name in graph.sources else ()
    return set(graph.sensitive(name)).union(
        *(graph.products[reader].contract.sensitive for reader in readers)
    )


def suggest(
    files: InputFiles, version: str, sensitive: Iterable[str], engine: DuckDB
) -> Suggestion:
    """Profile a source or a version; of what is sensitive, or may well be, only type and how many are missing."""
    with engine.cursor() as cursor:
        cursor.execute(f"create or replace temp view profiled as {select(files)}")
        described = cursor.execute("describe profiled").fetchall()
        (rows,) = cursor.execute("select count(*) from profiled").fetchone() or (0,)
        hide = secret_names([row[0] for row in described], sensitive)
        likely = _personal(cursor, [(row[0], row[1]) for row in described if row[0] not in hide])
        profiles = [
            _profile(cursor, row[0], row[1], rows, secret=row[0] in hide, likely=row[0] in likely)
            for row in described
        ]
        key = _key(cursor, [p for p in profiles if not p.secret], rows)
    code = "\n".join(_code(files.name, version, rows, profiles, key))
    return Suggestion(code=code, rows=rows, key=key, columns=tuple(profiles))


# ---------------------------------------------------------------------------------------------- profiling


def _personal(cursor: "duckdb.DuckDBPyConnection", columns: Sequence[tuple[str, str]]) -> set[str]:
    """Return the columns that by their name, or by some of their texts, hold what is somebody's own."""
    alike = "|".join(f"({pattern})" for pattern in PERSONAL)
    texts = [name for name, type in columns if type == "VARCHAR"]
    some = ", ".join(
        f"coalesce(bool_or(regexp_full_match(trim({identifier(n)}), {literal(alike)})), false)"
        for n in texts
    )
    found = cursor.execute(f"select {some} from profiled").fetchone() if texts else ()
    return {name for name, _ in columns if personal(name)} | {
        n for n, is_so in zip(texts, found or (), strict=True) if is_so
    }


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
    found = cursor.execute(
        f"select count(*) - count({column}), approx_count_distinct({column}), {bounds} from profiled"
    ).fetchone()
    assert found is not None
    nulls, different, low, high = found
    about: dict[str, Any] = {
        "name": name,
        "type": type,
        "rows": rows,
        "nulls": nulls,
        "different": different,
    }
    if secret:
        return Profile(**{**about, "different": 0}, secret=True, likely=likely)
    if type != "VARCHAR" or nulls == rows:
        return Profile(**about, low=low, high=high)
    values: tuple[str, ...] = ()
    if different <= 2 * _FEW:
        listed = cursor.execute(
            f"select distinct {column} from profiled where {column} is not null order by 1"
        )
        values = tuple(str(value) for (value,) in listed.fetchmany(_FEW + 1))
    if len(values) > _FEW or rows - nulls < _OFTEN * len(values):
        values = ()
    reads_as = "" if values else _reads_as(cursor, column)
    shapes = () if values or "number" in reads_as else _shapes(cursor, column, rows - nulls)
    return Profile(**about, values=values, shapes=shapes, reads_as=reads_as)


def _shapes(
    cursor: "duckdb.DuckDBPyConnection", column: str, count: int
) -> tuple[tuple[str, float], ...]:
    """Return the most frequent shapes of texts, each with its share; few, or none."""
    shape = column
    for letters, sign in (("[0-9]", "9"), ("[A-Z]", "A"), ("[a-z]", "a")):
        shape = f"regexp_replace({shape}, '{letters}', '{sign}', 'g')"
    found = cursor.execute(
        f"select {shape} as shape, count(*) as n from profiled where {column} is not null and length({column}) <= 40"
        " group by 1 order by n desc, shape limit 4"
    ).fetchall()
    if sum(n for text, n in found if "aa" in text) > (1 - _MOSTLY) * count:  # words, not codes
        return ()
    kept = [(_regex(text), n / count) for text, n in found if n / count >= 0.005]
    return tuple(kept) if kept and sum(share for _, share in kept) >= _MOSTLY else ()


def _regex(shape: str) -> str:
    """Return a regular expression for a shape: runs of digits, capitals and small letters, and the rest as it is."""
    signs = {"9": r"\d", "A": "[A-Z]", "a": "[a-z]"}
    runs = (match[0] for match in re.finditer(r"(.)\1*", shape, re.DOTALL))
    plain = {sign: f"\\{sign}" for sign in _SPECIAL}
    return "".join(
        f"{ {**plain, **signs}.get(r[0], r[0]) }{f'{{{len(r)}}}' if len(r) > 1 else ''}"
        for r in runs
    )


def _reads_as(cursor: "duckdb.DuckDBPyConnection", column: str) -> str:
    """Return what all texts of a column could be read as; codes that begin with a zero are no numbers."""
    casts = ", ".join(
        f"coalesce(bool_and({fits.format(column)}), false)" for fits in _READS_AS.values()
    )
    code = f"coalesce(bool_or(regexp_matches({column}, '^0[0-9]')), false)"
    found = cursor.execute(
        f"select {code}, {casts} from profiled where {column} is not null"
    ).fetchone()
    assert found is not None
    is_code, *fits = found
    words = [word for word, good in zip(_READS_AS, fits, strict=True) if good]
    return "" if is_code or not words else words[0]


def _key(
    cursor: "duckdb.DuckDBPyConnection", profiles: Sequence[Profile], rows: int
) -> tuple[str, ...]:
    """Return the first column, or two, that no two rows have alike; none, when rows are few or none does."""
    able = [
        p
        for p in profiles
        if not p.nulls and p.type not in _FLOATS and not p.type.endswith(("]", ")"))
    ]
    able += [p for p in profiles if not p.nulls and DECIMAL.match(p.type)]
    single: list[tuple[Profile, ...]] = [(p,) for p in able if p.different >= 0.9 * rows]
    pairs = [
        pair
        for pair in combinations(able, 2)
        if pair[0].different * pair[1].different >= 0.9 * rows
    ]
    for candidate in [*single, *pairs[:_PAIRS]] if rows > 1 else []:
        names = ", ".join(identifier(p.name) for p in candidate)
        query = f"select 1 from profiled group by {names} having count(*) > 1 limit 1"
        if cursor.execute(query).fetchone() is None:
            return tuple(p.name for p in candidate)
    return ()


# ---------------------------------------------------------------------------------------------- code


def _code(
    name: str, version: str, rows: int, profiles: Sequence[Profile], key: Sequence[str]
) -> Iterable[str]:
    decimals = any("Annotated" in _annotation(p.type) for p in profiles)
    yield from ["from typing import Annotated", ""] if decimals else []
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
    """Return the attribute that stands for a column, and take it: no other column has it."""
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
    given = _demands(profile)
    given |= {"unique": "True"} if unique else {}
    if not _is_plain(profile.name):
        given = {"alias": _quoted(profile.name), **given}
    told = f" = pa.Field({', '.join(f'{k}={v}' for k, v in given.items())})" if given else ""
    if not (annotation := _annotation(profile.type)):
        yield f"    # {label}: {profile.type}: a type to be written by hand"
        return
    yield f"    {label}: {annotation}{told}  # {_seen(profile)}"


def _demands(profile: Profile) -> dict[str, str]:
    """Return what to demand of a column: what its values say, and would still say tomorrow."""
    given: dict[str, str] = {}
    if profile.values:
        given["isin"] = f"[{', '.join(map(_quoted, profile.values))}]"
    elif profile.shapes and sum(share for _, share in profile.shapes) > 1 - 1e-9:
        given["str_matches"] = _pattern(profile)
    if isinstance(profile.low, int | float) or DECIMAL.match(profile.type):
        if profile.low is not None and profile.low >= 0:
            given["ge" if profile.low == 0 else "gt"] = "0"
        if (
            profile.low is not None
            and profile.low >= 0
            and 0.5 < profile.high <= 1
            and profile.type not in INTEGERS
        ):
            given["le"] = "1"
    if profile.nulls:
        given["nullable"] = "True"
    if profile.secret:
        given["metadata"] = '{"sensitive": True}'
    return given


def _rule(profile: Profile) -> Iterable[str]:
    share = sum(share for _, share in profile.shapes)
    if profile.shapes and share <= 1 - 1e-9:
        words, column = _quoted(f"{profile.name} looks as it mostly does"), _quoted(profile.name)
        check = f"pa.Check.str_matches({_pattern(profile)})"
        bound = max(1, round((1 - share) * 200))
        seen = f"{share:.1%} of {profile.rows - profile.nulls:,}"
        yield f'rule.check({words}, {check}, column={column}, fail_above="{bound} %"),  # {seen}'


def _pattern(profile: Profile) -> str:
    shapes = [shape for shape, _ in profile.shapes]
    joined = shapes[0] if len(shapes) == 1 else f"({'|'.join(shapes)})"
    quote = "'" if '"' in joined else '"'
    return (
        f"r{quote}^{joined}${quote}"
        if quote not in joined and "\n" not in joined
        else repr(f"^{joined}$")
    )


def _seen(profile: Profile) -> str:
    """Return in words what was seen, and on what share of the rows."""
    there = profile.rows - profile.nulls
    share = there / profile.rows if profile.rows else 0
    told = [f"in {share:.1%} of rows" if profile.nulls else "in every row"]
    if profile.low is not None:
        told.append(f"{profile.low} to {profile.high}")
    if not profile.secret:
        told.append(
            f"about {profile.different:,} different"
            if profile.different > _FEW
            else f"{profile.different} different"
        )
    if profile.likely:
        told.append("may be personal: if not, take the mark away")
    if profile.reads_as:
        told.append(f"all can be read as {profile.reads_as}")
    return ", ".join(told)


def _annotation(type: str) -> str:
    if decimal := DECIMAL.match(type):
        return f"Annotated[pl.Decimal, {decimal[1]}, {decimal[2]}]"
    return _PLAIN.get(type, "")


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.rpartition(".")[2].split("_"))


def _quoted(text: str) -> str:
    """Return a text as Python spells it, in double quotes where that is plain."""
    return f'"{text}"' if text.isprintable() and not set('"\\') & set(text) else ascii(text)

"""What may be shown of a message that may quote a sensitive value: names and words that are known; pure."""

import builtins
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from keyword import kwlist
from types import CodeType, TracebackType
from typing import Any

MASK = "…"
VEILED = f"({MASK} stands for what may be sensitive values)"

# Words of messages of Python, DuckDB and Polars. None is a name of a person or a place, none is a value of a kind.
_MESSAGES = """
a about above accept accepted access add after again all allowed already although ambiguous an and any applied
apply are argument arguments array as assigned associated at attempt attempted attribute attributes available
bad base be because been before being below between binary bind binder binding bindings both bound bounds built
but by byte bytes call callable called can't candidate cannot cast catalog change character characters check
class clause code codec column columns comparison computed constructor contain contained containing contains
conversion convert converted converting correct could couldn't create csv data date datetime decimal declared
decode decoding default defined delimiter detected dictionary did different digits dimension direct do does
doesn't don't dtype dtypes duplicate duplicated during each either element elements empty encoded encoding end
entry error errors evaluated exactly exceeded exception exist existing exists expect expected expecting explicit
expression expressions external failed failure field fields file files find first float for format found frame
from full function functions future given got greater group had has have header height hint id if implicit
import in incompatible incomplete incorrect index infer inferred inner input inputs inside instance instead int
integer internal invalid io is it item iterable its join key keys keyword kind known last lazy leading least
left length less level like limit line lines list literal longer look lookup loop many match matched matching
maximum mean memory message method min minimum mismatch missing mode module more most must name named names
nested new no node non none not nothing null number numeric object of off offset on one only open operand
operands operation operator option or order original other out outer output overflow parameter parse parsed
parser parsing part partition path perhaps permission position possible precision previous primitive quote
quoted raised range read reading reference referenced reported required requires resolved result return returned
right row rows same schema select sequence set shape should side size some source sqlstate start strict string
strings struct subquery such supported syntax table tables take takes than that the their them there these they
this time timestamp to token too tried try trying tuple two type types unable unary undefined unexpected
unexpectedly union unique unknown unpack unsupported unterminated until use used user using utf8 valid value
values view was were what when where which while width with within without would write wrong you your zone
"""
_TYPES = """
bigint blob bool boolean bytearray bytes categorical complex dataframe dataframemodel date datetime decimal dict
double duckdbpyrelation duration enum expr f32 f64 float float32 float64 frozenset function generator hugeint
i128 i16 i32 i64 i8 int int128 int16 int32 int64 int8 integer interval lazyframe list method module nonetype
null object pydataframe relation series set slice smallint str string struct time timestamp timestamptz tinyint
tuple type u16 u32 u64 u8 ubigint uhugeint uint16 uint32 uint64 uint8 uinteger usmallint utinyint uuid varchar
"""
_PYTHON = frozenset(name.lower() for name in (*dir(builtins), *kwlist))
_QUOTED = re.compile(r"""(?<!\w)'[^\n]*?'(?!\w)|"[^\n]*?"|`[^\n]*?`""")
_PIECE = re.compile(rf"{_QUOTED.pattern}|(?:[^\s'\"`]|(?<=\w)'(?=\w))+|['\"`]")
_COUNTED = re.compile(r"\b(line|row|column):? (\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+[.,:;)]*")
_WORD = re.compile(r"[^\W\d]\w*(?:'t)?")
_JOINED = re.compile(
    r"[\s.,;:()\[\]{}='\"`*<>|_?!^~/\\-]*"
)  # what may stand between words that may be shown


def of_trace(trace: TracebackType | None) -> frozenset[str]:
    """Return the words of the functions that an exception came through."""
    found: set[str] = set()
    while trace is not None:
        found.update(_words_of(trace.tb_frame.f_code))
        trace = trace.tb_next
    return frozenset(found)


def of_function(function: Callable[..., Any]) -> frozenset[str]:
    """Return the words of a function: its names, and the texts that are written in it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return frozenset(_words_of(code) if code else ())


def _words_of(code: CodeType) -> Iterator[str]:
    return (word for text in _texts(code) for word in _words(text))


def _texts(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)
    yield from (
        text for text in _constants(code.co_consts) if text.isidentifier() or " " in text.strip()
    )
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _texts(inner)


def _constants(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | frozenset):
        for inner in value:
            yield from _constants(inner)


def of_sql(sql: str) -> frozenset[str]:
    """Return the words of a query, but for those in its texts and comments."""
    plain = re.sub(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
    return frozenset(_words(plain))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def veiled(text: str, known: Collection[str], *, counted: bool = False) -> str:
    """Return a text with everything masked that may be a value: all but words of messages, types and `known` names.

    In quotes, words of messages are masked too. Numbers are shown where they count lines, rows or columns, if those
    are not a user's words (`counted`).
    """
    names = {word for name in known for word in (name, *_words(name))} | {*_TYPES.split(), *_PYTHON}
    words = {*names, *_MESSAGES.split()}
    keep = {match.start(2) for match in _COUNTED.finditer(text)} if counted else set()

    def piece(match: "re.Match[str]") -> str:
        found = match[0]
        if _QUOTED.fullmatch(found):
            return found if _may_be_shown(found[1:-1], names) else f"{found[0]}{MASK}{found[0]}"
        counts = match.start() in keep and _NUMBER.fullmatch(found)
        return found if counts or _may_be_shown(found, words) else MASK

    return re.sub(rf"{MASK}(?:[ ,]+{MASK})+", MASK, _PIECE.sub(piece, text))


def _may_be_shown(text: str, words: Collection[str]) -> bool:
    if text.strip("()[].,:;") in words:  # the path of a file, for one
        return True
    between = _WORD.split(text)
    return all(_JOINED.fullmatch(joint) for joint in between) and all(
        word in words for word in _words(text)
    )

"""`[tool.products.policy]` of `pyproject.toml`: what each product and source has to declare."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

# Evaluated by `plan.policies`; `logic_drift` by comparing with another revision; `budget` when
# something is waived or restated; `undeclared_columns` when files are read.
POLICIES = (
    "owner",
    "purpose",
    "key",
    "freshness",
    "error_rule",
    "description",
    "names",
    "review",
    "expired_waivers",
    "logic_drift",
    "budget",
    "undeclared_columns",
)
SEVERITIES = ("error", "warning", "off")
_FUNCTION = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"  # compiled only where it is needed
_NAMES_HINT = 'should be { pattern = "[a-z]+\\\\.[a-z_]+", severity = "error" }, or "off"'


class Finding(Struct, frozen=True):
    """What a policy of your own found; `help(assay.Finding)` is read by users.

        Finding("sales.orders", "owner ann@shop.example is a person", needs='owner="sales@shop.example"')

    - `name`: the full name of the product or source.
    - `what`: what is wrong.
    - `severity`: "error", which fails the check, or "warning".
    - `of`: the column, or the name of the rule, that it is about; '' for neither.
    - `needs`: what to write to correct it, or ''.
    """

    name: str
    what: str
    severity: Literal["error", "warning"] = "error"
    of: str = ""
    needs: str = ""


class PolicyTable(Struct, frozen=True, kw_only=True):
    """A table of policies: the severity of each that it names, and the `pattern` of `names`."""

    severities: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""


class Policies(PolicyTable, frozen=True, kw_only=True):
    """The policies of a project.

    - `tables`: tables for some products, after the selector that names them; later ones win.
    - `own`: functions over the graph, as "module:function".
    """

    tables: tuple[tuple[str, PolicyTable], ...] = ()
    own: tuple[str, ...] = ()


class Mistake(Struct, frozen=True):
    """What is wrong with a policy; `keys` are those of the tables that lead to it, outermost first."""

    keys: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        keys = [key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in self.keys]
        return f"{'.'.join(['policy', *keys])} {self.what}"


def policies_of(table: Any) -> tuple[Policies, list[Mistake]]:
    """Return the policies in `[tool.products.policy]`, and everything that is wrong with them."""
    if not isinstance(table, dict):
        return Policies(), [Mistake((), "should be a table [tool.products.policy]")]
    mistakes = list(_mistakes(table, ()))
    if mistakes:
        return Policies(), mistakes
    some = tuple((terms, PolicyTable(**_read(inner))) for terms, inner in _some(table).items())
    return Policies(**_read(table), tables=some, own=tuple(table.get("own", ()))), []


def _some(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return table.get("for", {})  # type: ignore[no-any-return]  # its mistakes are found before


def _read(table: Mapping[str, Any]) -> dict[str, Any]:
    names = table.get("names", {})
    severities = {
        policy: table[policy] for policy in POLICIES if isinstance(table.get(policy), str)
    }
    if isinstance(names, str) or not names:
        return {"severities": severities}
    severities["names"] = names.get("severity", "error")
    return {"severities": severities, "pattern": names["pattern"]}


def _mistakes(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[Mistake]:
    """Yield the mistakes of a table, of the project or (with keys above it) for some products."""
    others = () if above else ("for", "own")
    for key, value in table.items():
        keys = (*above, key)
        if key == "for" and not above:
            yield from _mistakes_for_some(value)
        elif key == "own" and not above:
            yield from _mistakes_in_own(value)
        elif key == "names":
            yield from _mistakes_in_names(value, keys)
        elif key not in POLICIES:
            yield Mistake(keys, _unknown(key, [*POLICIES, *others]))
        elif value not in SEVERITIES:
            yield Mistake(keys, _unlike(value, SEVERITIES))


def _mistakes_for_some(tables: Any) -> Iterator[Mistake]:
    if not isinstance(tables, dict):
        yield Mistake(("for",), 'should be tables such as [tool.products.policy.for."tag:finance"]')
        return
    for terms, table in tables.items():
        if not terms.strip():
            yield Mistake(("for", terms), "names no products: write a selector")
        elif isinstance(table, dict):
            yield from _mistakes(table, ("for", terms))
        else:
            yield Mistake(("for", terms), 'should be a table, such as { purpose = "error" }')


def _mistakes_in_own(value: Any) -> Iterator[Mistake]:
    if not isinstance(value, list):
        yield Mistake(("own",), 'should be a list such as ["policies:check_owners"]')
        return
    for function in value:
        if not (isinstance(function, str) and re.fullmatch(_FUNCTION, function)):
            what = f'has {str(function)[:60]!r}: write "module:function"'
            yield Mistake(("own",), what)


def _mistakes_in_names(value: Any, keys: tuple[str, ...]) -> Iterator[Mistake]:
    if value == "off":
        return
    if not isinstance(value, dict) or not isinstance(value.get("pattern"), str):
        yield Mistake(keys, _NAMES_HINT)
        return
    for key in value.keys() - {"pattern", "severity"}:
        yield Mistake((*keys, key), _unknown(key, ["pattern", "severity"]))
    if (severity := value.get("severity", "error")) not in SEVERITIES:
        yield Mistake((*keys, "severity"), _unlike(severity, SEVERITIES))
    try:
        re.compile(value["pattern"])
    except re.error as error:
        yield Mistake((*keys, "pattern"), f"is no regular expression: {error}")


def _unknown(key: str, known: Sequence[str]) -> str:
    return f"is unknown: {_meant(key, known) or 'there are ' + ', '.join(known)}"


def _unlike(value: Any, known: Sequence[str]) -> str:
    shown = repr(value) if isinstance(value, str) and len(value) < 40 else type(value).__name__
    listed = f"it should be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
    return f"is {shown}: {_meant(str(value), known) or listed}"


def _meant(text: str, known: Sequence[str]) -> str:
    """Return a question that ends a sentence, such as "did you mean 'owner'?"; '' for none."""
    from difflib import get_close_matches

    close = get_close_matches(text.lower().replace("-", "_"), known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""

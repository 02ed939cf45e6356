"""Lists and structs in JSON: SQL that checks them, and that reads them as their declared type.

A value is taken apart level by level, so that each number, text and time in it is read as exactly
as one in a column of its own. A field that an object lacks is null.
"""

import json
from collections.abc import Callable

from assay.engines.formats.marks import unmarked
from assay.engines.nested import Leaf, ListOf, Tree
from assay.engines.quoting import identifier, literal

OfLeaf = Callable[[str, str], str]  # SQL for a type and a text (SQL) that is not nested

_ELEMENTS = """json_transform({}, '["JSON"]')"""


def value(tree: Tree, text: str, of_leaf: OfLeaf) -> str:
    """Return the SQL of the value that a text of JSON (SQL), if not faulty, means."""
    return _value(tree, f"try_cast({text} as JSON)", of_leaf, 0)


def faulty(tree: Tree, text: str, of_leaf: OfLeaf) -> str:
    """Return the condition that a text of JSON (SQL) is neither null nor a value of a tree.

    `of_leaf` gives the same condition for texts.
    """
    read = f"try_cast({text} as JSON)"
    return f"{text} is not null and ({read} is null or {_faulty(tree, read, of_leaf, 0)})"


def _value(tree: Tree, node: str, of_leaf: OfLeaf, depth: int) -> str:
    match tree:
        case Leaf(type=type):
            return of_leaf(type, _text(node, type))
        case ListOf(inner=inner):
            each = f"__e{depth}"
            read = _value(inner, each, of_leaf, depth + 1)
            return f"list_transform({_ELEMENTS.format(node)}, lambda {each}: {read})"
    each = f"__e{depth}"  # without a name for the object, its SQL would be written for each field
    fields = ", ".join(
        f"{identifier(name)} := {_value(field, _field(each, name), of_leaf, depth + 1)}"
        for name, field in tree.fields
    )
    packed = f"case when {each} is not null then struct_pack({fields}) end"
    return f"list_transform([{node}], lambda {each}: {packed})[1]"


def _faulty(tree: Tree, node: str, of_leaf: OfLeaf, depth: int) -> str:
    """Return the condition that JSON (SQL) is not of a tree; null means that it is."""
    match tree:
        case Leaf(type=type):
            return f"({of_leaf(type, _text(node, type))})"
        case ListOf(inner=inner):
            each = f"__e{depth}"
            wrong = _faulty(inner, each, of_leaf, depth + 1)
            any_wrong = _any(_ELEMENTS.format(node), each, wrong)
            return f"(coalesce(json_type({node}) <> 'ARRAY', false) or {any_wrong})"
    each = f"__e{depth}"
    keys, names = f"json_keys({each})", [name for name, _ in tree.fields]
    lower = ", ".join(literal(name.lower()) for name in names)
    alike = f"lower(k) in ({lower}) and k not in ({', '.join(map(literal, names))})"
    wrong = " or ".join(
        [
            f"coalesce(json_type({each}) <> 'OBJECT', false)",
            f"coalesce(len({keys}) <> list_unique({keys}), false)",
            f"coalesce(len(list_filter({keys}, lambda k: {alike})) > 0, false)",
            *(
                f"coalesce({_faulty(field, _field(each, name), of_leaf, depth + 1)}, false)"
                for name, field in tree.fields
            ),
        ]
    )
    return _any(f"[{node}]", each, wrong)


def fields_there(tree: Tree, text: str, place: str) -> list[tuple[str, str, str]]:
    """Return for each field that a tree names: its place, and two conditions about JSON (SQL).

    They say whether there is an object that should have it, and whether one has it, if only as
    null.
    """
    return _fields_there(tree, f"try_cast({text} as JSON)", place, 0)


def _fields_there(tree: Tree, node: str, place: str, depth: int) -> list[tuple[str, str, str]]:
    match tree:
        case Leaf():
            return []
        case ListOf(inner=inner):
            each, elements = f"__e{depth}", _ELEMENTS.format(node)
            return [
                (found, _any(elements, each, wants), _any(elements, each, has))
                for found, wants, has in _fields_there(inner, each, f"{place}[]", depth + 1)
            ]
    found = []
    for name, field in tree.fields:
        is_object = f"coalesce(json_type({node}) = 'OBJECT', false)"
        has = f"coalesce(list_contains(json_keys({node}), {literal(name)}), false)"
        found.append((f"{place}.{name}", is_object, has))
        found += _fields_there(field, _field(node, name), f"{place}.{name}", depth + 1)
    return found


def _any(elements: str, each: str, condition: str) -> str:
    """Return the SQL of whether a condition is true of any element of a list (SQL)."""
    meets = f"lambda {each}: coalesce({condition}, false)"
    return f"coalesce(len(list_filter({elements}, {meets})) > 0, false)"


def _text(node: str, type: str) -> str:
    """Return the SQL of the text of JSON (SQL) that is no list or struct, without marks."""
    return unmarked(f"({node}->>'$')", type)


def _field(node: str, name: str) -> str:
    structure = literal(json.dumps({name: "JSON"}, ensure_ascii=False))
    return f"json_transform({node}, {structure}).{identifier(name)}"

"""The base class of the values that verbs print, and their JSON."""

from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from assay.views.showing import html_of


class View(Struct, frozen=True, kw_only=True):
    """Plain values that a verb prints as text, or as JSON.

    The JSON has a key for each field, without fields that have their default value. The fields of
    the views named in `inline` are among the keys of this view.
    """

    inline: ClassVar[tuple[str, ...]] = ()

    def _repr_html_(self) -> str | None:
        """Return the value as a notebook shows it; None for as text."""
        return html_of(self)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain data: moments as ISO 8601 text, views as mappings."""
        data: dict[str, Any] = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if not field.required and value == field.default:
                continue
            if field.name in self.inline:
                data |= value.as_json()
            else:
                data[field.encode_name] = _as_json(value)
        return data


@cache
def _fields(view: type[View]) -> tuple[FieldInfo, ...]:
    return fields(view)


def _as_json(value: Any) -> Any:
    """Return a field's value as plain data; values in mappings are users' data, and unchanged."""
    match value:
        case View():
            return value.as_json()
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [_as_json(item) if isinstance(item, View) else item for item in value]
    return value

"""Text from outside, made safe to show."""

import re

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def sayable(text: str) -> str:
    """Return text with the halves of characters in it, which UTF-8 cannot say, made visible."""
    return text.encode("utf-8", "backslashreplace").decode()


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Return text from outside with control and direction characters made visible, so that it stays text."""
    if keep_lines:
        return "\n".join(clean(line) for line in text.splitlines())
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), text)

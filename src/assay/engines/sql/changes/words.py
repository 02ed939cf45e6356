"""Collects what changed, as short texts that say in which part of a query it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from assay.text import clean

_MOST = 20  # changes that are listed
_LONGEST = 200  # characters of one
_LONGEST_SIDE = 80  # characters of what was, and of what is now
_AROUND = 12  # characters that are shown around what differs


class Words:
    """A list of changes; those inside a part of the query begin with the name of that part."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._places: list[str] = []

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """Add a change, in the part of the query that is being compared."""
        self._texts.append("".join(f"in {place}: " for place in self._places) + text)

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        """Name the part of the query that the changes of a `with` block are in."""
        self._places.append(place)
        try:
            yield
        finally:
            self._places.pop()

    def bounded(self) -> tuple[str, ...]:
        """Return the changes, each once and on one line."""
        return bounded(self._texts)


def bounded(texts: Sequence[str], most: int = _MOST) -> tuple[str, ...]:
    """Return the first texts, each once, shortened and on one line, and how many more there are."""
    unique = list(dict.fromkeys(clean(" ".join(text.split())) for text in texts))
    listed = [short(text) for text in unique[:most]]
    if more := len(unique) - len(listed):
        listed.append(f"and {more:,} more change{'s' if more > 1 else ''}")
    return tuple(listed)


def short(text: str, longest: int = _LONGEST) -> str:
    """Return a text with "…" in its middle if it is longer than that."""
    if len(text) <= longest:
        return text
    half = longest // 2 - 2
    return f"{text[:half].rstrip()} … {text[-half:].lstrip()}"


def arrow(old: str, new: str) -> str:
    """Return two texts with an arrow between; of long ones, what differs and a bit around it."""
    if len(old) <= _LONGEST_SIDE and len(new) <= _LONGEST_SIDE:
        return f"{old} -> {new}"
    begin = _alike(old, new)
    end = _alike(old[begin:][::-1], new[begin:][::-1])
    begin, end = max(begin - _AROUND, 0), max(end - _AROUND, 0)
    return " -> ".join(short(_middle(text, begin, end), _LONGEST_SIDE) for text in (old, new))


def _alike(old: str, new: str) -> int:
    """Return the number of characters that two texts begin with alike."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))


def _middle(text: str, begin: int, end: int) -> str:
    """Return a text without its first and last characters, which are shown as "…"."""
    kept = text[begin : len(text) - end]
    return f"{'… ' if begin else ''}{kept.strip()}{' …' if end else ''}"

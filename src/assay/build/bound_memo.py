"""What was found of products without data, kept by all that it depends on, so that it is found once."""

import re
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from assay.engines.types import readable
from assay.plan.misfits import Problem, Traced

# A type that a result of a query may have although it cannot be stored, such as INTERVAL.
_PLAIN_TYPE = re.compile(r'"?[A-Z][A-Z0-9_ ]*"?(\([\d, ]+\))?(\[\d*\])*')
_KEPT = 4  # results that are kept for each product that there is


class RuleProblem(Struct, frozen=True, kw_only=True):
    """A problem of a rule; `rule` is its number in its contract."""

    rule: int
    problem: Problem


class Found(Struct, frozen=True, kw_only=True):
    """What was found of the code of a product (`traced`), or of its rules.

    `files` are the digests of the files that places are in, by path.
    """

    traced: Traced | None = None
    rules: tuple[RuleProblem, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


class Memo:
    """Results by the digest of all that they depend on; `digest_of` returns that of a file now."""

    def __init__(
        self, stored: Mapping[str, Found], digest_of: Callable[[str], str] = lambda _: ""
    ) -> None:
        self._stored, self._digest_of = stored, digest_of
        self._used: dict[str, Found] = {}
        self._is_new = False

    def has(self, key: str) -> bool:
        """Return whether something was found under this key."""
        return key in self._stored

    def recall(self, key: str, find: Callable[[], Found]) -> Found:
        """Return what was found under this key, or find it now."""
        if key in self._used:
            return self._used[key]
        found = self._stored.get(key)
        if found is None or not self._is_usable(found):
            found = find()
            found = self._with_files(found)
            if found.traced and found.traced.fleeting:
                return found
            self._is_new = True
        self._used[key] = found
        return found

    def _with_files(self, found: Found) -> Found:
        problems = found.traced.problems if found.traced else ()
        files = {problem.where.file for problem in problems if problem.where}
        if not files:
            return found
        digests = {file: self._digest_of(file) for file in sorted(files)}
        return Found(traced=found.traced, rules=found.rules, files=digests)

    def _is_usable(self, found: Found) -> bool:
        """Return whether files are as they were, and types are types: the memo may be damaged."""
        columns = found.traced.flows.columns if found.traced else ()
        return all(
            not c.type or _PLAIN_TYPE.fullmatch(c.type) or readable(c.type) for c in columns
        ) and all(self._digest_of(file) == digest for file, digest in found.files.items())

    def to_keep(self, products: int) -> Mapping[str, Found] | None:
        """Return the results to keep for the next time; None if they are those that were kept."""
        if not self._is_new:
            return None
        room = max(products * _KEPT - len(self._used), 0)
        others = [key for key in self._stored if key not in self._used]
        return {key: self._stored[key] for key in _last(others, room)} | self._used


def _last(keys: list[str], count: int) -> Iterable[str]:
    return keys[-count:] if count else ()

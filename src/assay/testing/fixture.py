"""What the fixture `build` of pytest gives: builds products of a project from given inputs."""

import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.declare.project import Project, open_project
from assay.errors import AssayError, BuildError, UsageError
from assay.facts import RuleResult, Status
from assay.plan.names import rule_of
from assay.testing import results
from assay.testing.compare import difference
from assay.testing.folders import folder
from assay.testing.rows import table_of
from assay.testing.trial import Trial
from assay.testing.tried import Tried

if TYPE_CHECKING:
    import polars as pl


class BuildResult:
    """What came of building a product from given inputs.

    - `frame`: the rows as a data frame of Polars; of a product that is a file, use `path`.
    - `path`: the file, of a product that is one; it is removed when the test ends.
    - `parts`: the names of the parts, of a product in parts.
    - `held_by`, `warnings`: the rules that hold it back, and those that warn, by text.
    - `rules`: how each rule was judged, by text; a rule that reads a product that is not given is
      missing.
    - `set_aside`: the rows that rules set aside.
    - `error`: why parts of it could not be built; '' if all could.
    """

    def __init__(self, tried: Tried, folder: Path) -> None:
        self._tried, self._folder = tried, folder
        self.path, self.parts, self.error = tried.path, tried.parts, tried.error
        self.held_by = tried.held_by
        self.rules: Mapping[str, RuleResult] = {rule.text: rule for rule in tried.rules}

    def __repr__(self) -> str:
        held = f", held by {'; '.join(self.held_by)}" if self.held_by else ""
        what = self.path if self._tried.frame is None else f"{self._tried.frame.height} rows"
        return f"<{self._tried.product.name}: {what}{held}>"

    @property
    def frame(self) -> "pl.DataFrame":
        """The rows as a data frame; UsageError for a product that is a file."""
        if self._tried.frame is None:
            raise UsageError(f"{self._tried.product.name} is a file: read its `path`")
        return self._tried.frame

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, each as its values by column."""
        return self.frame.to_dicts()

    @property
    def passed(self) -> bool:
        """Whether no rule holds it back."""
        return not self.held_by

    @property
    def warnings(self) -> tuple[str, ...]:
        """The rules that warn, by text."""
        return tuple(text for text, rule in self.rules.items() if rule.status is Status.WARNING)

    @property
    def set_aside(self) -> list[dict[str, Any]]:
        """The rows that rules set aside; UsageError if no rule of the product does that."""
        if self._tried.aside is None:
            raise UsageError(f"no rule of {self._tried.product.name} sets rows aside")
        return self._tried.aside.to_dicts()

    def failing(self, rule: str) -> list[dict[str, Any]]:
        """Return the rows that a rule found; `rule` is its text, or a part that only it has.

        Raises UsageError for an unknown rule, and one that reads a product that is not given.
        """
        text = self._rule(rule)
        return self._tried.found_by(text).to_dicts()

    def expect(self, rows: Any, *, ordered: bool = False) -> None:
        """Compare the rows with expected ones, in the columns that these name.

        `rows` are a list of rows, CSV text, the path of a file, or a data frame. Their order does
        not count, unless `ordered`; duplicates do. Raises AssertionError with the difference.
        """
        __tracebackhide__ = True
        expected = table_of(rows, self._folder)
        key = self._tried.product.contract.key
        found = difference(expected, self.frame, key, ordered=ordered)
        if found:
            raise AssertionError("\n".join(results.text_of(found, self._tried.product.name)))

    def _rule(self, words: str) -> str:
        product = self._tried.product
        for text, name in self._tried.skipped.items():
            if words == text or (words.lower() in text.lower() and words not in self.rules):
                raise UsageError(f"{text!r} is not judged, as it reads {name}: give that, too")
        return rule_of(product, words).text


class Build:
    """Builds products of a project; paths of rows are from `folder`."""

    def __init__(self, project: Project, folder: Path, at: Path) -> None:
        self._project, self._folder, self._at = project, folder, at

    def __call__(
        self,
        product: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        previous: Any = None,
        now: datetime | str | None = None,
        previous_at: datetime | str | None = None,
    ) -> BuildResult:
        """Build a product from the rows of its inputs, by name, and judge it by its rules.

        Rows are a list of rows, CSV text, the path of a file, a data frame of Polars or an Arrow
        table. `previous` are the rows that are published already, since `previous_at` (default: a
        day before `now`). Moments are datetimes or ISO 8601 texts, of UTC unless they say.

        Raises UsageError for unknown, missing or wrong inputs, and BuildError if the product cannot
        be built.
        """
        __tracebackhide__ = True
        try:
            tried = Trial(
                product=self._project.graph.resolve(product),
                inputs=inputs or {},
                previous=previous,
                now=_moment(now),
                previous_at=_moment(previous_at),
                folder=self._folder,
            ).build(self._project, Path(tempfile.mkdtemp(dir=self._at)))
        except AssayError as error:  # what is wrong is in the test, and not in our code
            raise error.with_traceback(None) from None
        if tried.error and tried.frame is None and tried.path is None:
            raise BuildError(f"{tried.product.name}: {tried.error}", hint=tried.detail)
        return BuildResult(tried, self._folder)


@contextmanager
def opened(start: Path, projects: MutableMapping[Any, Any]) -> Iterator[Build]:
    """Give what builds products of the project at or above a folder; it is kept in `projects`."""
    project = projects.get(start)
    if project is None:
        project = open_project(start)
        project = projects[start] = projects.setdefault(project.config.root, project)
    with folder() as at:
        yield Build(project, start, at)


def _moment(moment: datetime | str | None) -> datetime | None:
    """Return the moment that is meant; UsageError for a text that is none."""
    if not isinstance(moment, str):
        return moment
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        raise UsageError(f"{moment!r} is no moment: write 2011-12-09T07:00") from None

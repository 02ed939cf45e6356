"""Reads test files: `NAME.test.toml` below the definitions, each table in it a test of that product."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from assay.config import Config
from assay.errors import DeclarationError, Problem, UsageError
from assay.model import Product, Where
from assay.plan.graph import Graph
from assay.plan.names import nearest, rule_of
from assay.plan.select import select_declared
from assay.store.matching import files_below
from assay.testing.cells import FileNumber, shown

SUFFIX = ".test.toml"
_LARGEST = 16 * 2**20  # bytes of a test file
_AT = re.compile(r"\(at line (\d+), column \d+\)")
_STATE = re.compile(r"\d*\+?(state|stale|blocked):")
_BLOCKS = re.compile(r'"""(?:\\.|.)*?"""|\'\'\'.*?\'\'\'', re.DOTALL)


class Case(Struct, frozen=True, kw_only=True):
    """A test of a product, as a file says it; rows are values as `rows.table_of` takes them.

    - `inputs`: the rows of each input, by name.
    - `previous`, `previous_at`: the rows that were published before, and when.
    - `now`: the moment that counts as the current time.
    - `expect`: the rows that should come out, or the text of the file; None for any.
    - `ordered`: whether they should come out in this order.
    - `set_aside`: the rows that rules should set aside; None for any.
    - `holds_back`: rules that should hold the product back.
    - `failing`: the rows that rules should find, by rule.
    - `passes`: whether all rules should pass.
    - `fails`: a text that the error of the build should contain.
    """

    product: str
    name: str
    where: Where
    inputs: Mapping[str, Any] = {}
    previous: Any = None
    previous_at: datetime | None = None
    now: datetime | None = None
    expect: Any = None
    ordered: bool = False
    set_aside: Any = None
    holds_back: tuple[str, ...] = ()
    failing: Mapping[str, Any] = {}
    passes: bool = False
    fails: str = ""


_Mistake = tuple[str, str]  # what is wrong, and a hint
_KEYS = [f.name for f in fields(Case) if f.name not in {"name", "where"}]
_EXPECTATIONS = ("expect", "set_aside", "holds_back", "failing", "passes", "fails")
_ROWS = "rows, or the path of a file"
_WANTED = {
    "inputs": "rows by the name of each input",
    "failing": "rows by rule",
    "previous": _ROWS,
    "expect": _ROWS,
    "set_aside": _ROWS,
    "now": "a date and time, such as 2011-12-09T07:00:00Z",
    "previous_at": "a date and time, such as 2011-12-08T07:00:00Z",
    "ordered": "true or false",
    "passes": "true; to expect the contrary, name the rules in holds_back",
    "holds_back": "the text of a rule, or a list of them",
    "fails": "a text that the error contains",
    "product": "the name of a product",
}


def read_cases(config: Config, graph: Graph) -> list[Case]:
    """Return the tests of all test files, in order; DeclarationError with every mistake in them."""
    cases: list[Case] = []
    problems: list[Problem] = []
    for file in files_of_tests(config):
        reader = _FileReader(config, graph, file)
        cases += reader.read()
        problems += reader.problems
    if problems:
        raise DeclarationError(problems, of="tests")
    return cases


def read_file(config: Config, graph: Graph, file: Path) -> list[Case]:
    """Return the tests of one file; DeclarationError with every mistake in it."""
    reader = _FileReader(config, graph, file)
    cases = reader.read()
    if reader.problems:
        raise DeclarationError(reader.problems, of="tests")
    return cases


def files_of_tests(config: Config) -> list[Path]:
    """Return the test files below the definitions, sorted; UsageError for an unreadable folder."""
    try:
        folders = [*files_below(f"{config.root}/{config.definitions}")]
    except OSError as error:
        folder = os.path.relpath(error.filename, config.root)
        raise UsageError(f"cannot look for tests in {folder}: {error.strerror}") from error
    return sorted(
        Path(folder, name) for folder, names in folders for name in names if name.endswith(SUFFIX)
    )


class _FileReader:
    """Reads one test file; what is wrong is collected in `problems`."""

    def __init__(self, config: Config, graph: Graph, file: Path) -> None:
        self.graph, self.file = graph, file
        self.path = os.path.relpath(file, config.root)
        self.domain = _domain(config, file)
        self.problems: list[Problem] = []

    def read(self) -> list[Case]:
        """Return the tests of the file."""
        content = self._content()
        if content is None:
            return []
        text, document = content
        lines = _lines_of_tests(text)
        of_file = document.pop("product", "")
        if not isinstance(of_file, str):
            self._report("product should be the name of a product", 0)
            return []
        of_file = of_file or self.file.name.removesuffix(SUFFIX)
        cases = []
        for name, test in document.items():
            line = lines.get(name, 0)
            if not isinstance(test, dict):
                hint = f'A test is a table: ["what it shows"], then {", ".join(_KEYS)}.'
                self._report(f"{name!a} is no test", line, hint)
            elif case := self._case(name, test, of_file, line):
                cases.append(case)
        if not document:
            self._report("the file has no test", 0, 'A test is a table: ["what it shows"].')
        return cases

    def _content(self) -> tuple[str, dict[str, Any]] | None:
        try:
            if not self.file.is_file():
                self._report("a test is in a regular file", 0)
                return None
            if self.file.stat().st_size > _LARGEST:
                self._report("the file is too large for a test", 0, "Name data files in it.")
                return None
            text = self.file.read_bytes().decode("utf-8")
            return text, tomllib.loads(text, parse_float=FileNumber)
        except tomllib.TOMLDecodeError as error:
            at = _AT.search(str(error))
            what = _AT.sub("", str(error)).strip()
            self._report(f"this is not valid TOML: {what}", int(at[1]) if at else 0)
        except UnicodeDecodeError:
            self._report("the file is not UTF-8", 0)
        except OSError as error:
            self._report(f"cannot read it: {error.strerror}", 0)
        except RecursionError:
            self._report("the file is nested too deeply", 0)
        return None

    def _case(self, name: str, test: Mapping[str, Any], of_file: str, line: int) -> Case | None:
        """Return a test; None if it has mistakes."""
        wrong = [*_wrong(test)]
        product, problem = self._product(test.get("product", of_file))
        if problem:
            wrong.append(problem)
        rules: dict[str, str] = {}
        for words in [*_texts(test.get("holds_back")), *_texts(test.get("failing"))]:
            rules[words], problem = _rule(product, words)
            if problem:
                wrong.append(problem)
        for what, hint in wrong:
            self._report(f"{name!a}: {what}", line, hint)
        if wrong or product is None:
            return None
        values = {key: test[key] for key in test if key != "product"}
        if "holds_back" in test:
            values["holds_back"] = tuple(rules[words] for words in _texts(test["holds_back"]))
        if "failing" in test:
            values["failing"] = {rules[words]: rows for words, rows in test["failing"].items()}
        return Case(product=product.name, name=name, where=Where(self.path, line), **values)

    def _product(self, name: Any) -> tuple[Product | None, _Mistake | None]:
        """Return the product of this name, or what is wrong with the name."""
        products = self.graph.products
        if not isinstance(name, str):
            return None, None  # _wrong() says so
        if product := products.get(f"{self.domain}.{name}"):
            return product, None
        try:
            return products[self.graph.resolve(name)], None
        except UsageError as error:
            hint = error.hint or f"{self.file.name} is of the product that its name says."
            return None, (error.what, hint)

    def _report(self, what: str, line: int, hint: str = "") -> None:
        self.problems.append(Problem(what=what, where=Where(self.path, line), hint=hint))


def _domain(config: Config, file: Path) -> str:
    """Return the first folder below the definitions that a file is in; '' for none."""
    below = file.relative_to(config.root / config.definitions).parts
    return below[0] if len(below) > 1 else ""


def _rule(product: Product | None, words: str) -> tuple[str, _Mistake | None]:
    """Return the text of the rule that these words name, or what is wrong with them."""
    if product is None:
        return "", None
    try:
        return rule_of(product, words).text, None
    except UsageError as error:
        return "", (error.what, error.hint)


def _wrong(test: Mapping[str, Any]) -> Iterator[_Mistake]:
    """Yield what is wrong with the keys and the types of the values of a test."""
    for key, value in test.items():
        if key not in _KEYS:
            hint = nearest(key, _KEYS) or f"It may have: {', '.join(_KEYS)}."
            yield f"a test has no {key!a}", hint
        elif not _fits(key, value):
            yield f"{key} should be {_WANTED[key]}; it is {shown(value)}", ""
    if not any(key in test for key in _EXPECTATIONS):
        yield "it expects nothing", f"Say one of: {', '.join(_EXPECTATIONS)}."
    for key in ("expect", "set_aside", "holds_back", "passes"):
        if "fails" in test and key in test:
            yield f"a product that fails to be built has nothing for {key}", ""
    if "passes" in test and "holds_back" in test:
        yield "what holds_back names does not pass", "Say passes, or holds_back."


def _fits(key: str, value: Any) -> bool:
    match key:
        case "inputs" | "failing":
            return isinstance(value, dict) and all(map(_are_rows, value.values()))
        case "previous" | "expect" | "set_aside":
            return _are_rows(value)
        case "now" | "previous_at":
            return isinstance(value, datetime)
        case "ordered":
            return isinstance(value, bool)
        case "passes":
            return value is True
        case "holds_back":
            return bool(_texts(value)) and (
                isinstance(value, str) or len(_texts(value)) == len(value)
            )
    return isinstance(value, str) and bool(value)


def _are_rows(value: Any) -> bool:
    return isinstance(value, str | list)


def _texts(value: Any) -> list[str]:
    """Return the texts of a text, a list of texts, or the keys of a table."""
    if isinstance(value, str):
        return [value]
    return (
        [item for item in value if isinstance(item, str)] if isinstance(value, list | dict) else []
    )


def _lines_of_tests(text: str) -> dict[str, int]:
    """Return the line of the first header of each test, by the name of the test."""
    blank = _BLOCKS.sub(lambda block: "\n" * block[0].count("\n"), text)
    lines: dict[str, int] = {}
    for number, line in enumerate(blank.splitlines(), 1):
        if line.lstrip().startswith("["):
            with suppress(tomllib.TOMLDecodeError):
                for name in tomllib.loads(line):
                    lines.setdefault(name, number)
    return lines


def chosen(
    cases: Sequence[Case], graph: Graph, select: Sequence[str], exclude: Sequence[str], words: str
) -> list[Case]:
    """Return the tests of the selected products (no selector: of all) whose name has these words.

    Raises UsageError for a selector that cannot be read, matches nothing, or asks for a state.
    """
    for term in " ".join([*select, *exclude]).replace(",", " ").split():
        if _STATE.match(term):
            raise UsageError(
                f"{term!r} asks what is published, and tests know only what is declared",
                hint="Select by name, tag:, owner:, domain: or path:.",
            )
    products = set(graph.products) if not select else set[str]()
    for selectors in select:
        products |= select_declared(graph, selectors)
    for selectors in exclude:
        products -= select_declared(graph, selectors)
    return [
        case for case in cases if case.product in products and words.lower() in case.name.lower()
    ]

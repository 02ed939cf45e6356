"""Annotations of GitHub Actions, as its runner reads them."""

from hypothesis import given, settings

from assay.text import clean
from assay.views.check import CheckView, DetailView, FindingKind, Level
from assay.views.formats.github import github_lines, plain
from tests.views.formats.findings import VIEWS, finding, view


def read(line: str) -> tuple[str, dict[str, str], str] | None:
    """Return a line as the runner reads it: command, properties, message; None for plain text."""
    if not line.lstrip().startswith("::"):
        return ("legacy", {}, line) if "##[" in line else None
    head, _, data = line.lstrip()[2:].partition("::")
    name, _, listed = head.partition(" ")
    pairs = (pair.partition("=") for pair in listed.split(",") if pair)
    return name, {key: unescaped(value, True) for key, _, value in pairs}, unescaped(data, False)


def unescaped(text: str, is_property: bool) -> str:
    pairs = [("%0D", "\r"), ("%0A", "\n"), *([("%3A", ":"), ("%2C", ",")] if is_property else [])]
    for code, character in [*pairs, ("%25", "%")]:
        text = text.replace(code, character)
    return text


def test_an_annotation() -> None:
    details = (DetailView(label="affects", text="100 %, all"),)
    [line, total] = github_lines(view(finding(details=details, of="a:b,c")), "shop")
    assert line == (
        "::error file=shop/products/sales.py,line=7,col=3,title=breaking%3A sales.lines.a%3Ab%2Cc"
        "::shop/products/sales.py:7:3: sales.lines.a:b,c: renamed to net%0Aaffects: 100 %25, all"
    )
    assert total == "2 products checked: 1 error, 0 warnings, 0 notes"


def test_a_removal_is_annotated_where_it_was() -> None:
    line, _ = github_lines(view(finding(removed=True, file="products/old.sql", line=2, column=0)))
    name, properties, _ = read(line)
    assert name == "error"
    assert properties == {
        "file": "products/old.sql",
        "line": "2",
        "title": "breaking: sales.lines.amount (it was here before this change)",
    }


def test_no_more_than_github_shows() -> None:
    """Ten of each kind: the rest would be dropped without a word."""
    found = [finding(of=f"c{n}") for n in range(25)]
    found += [finding(of=f"w{n}", level=Level.WARNING) for n in range(10)]
    found += [finding(of="n", level=Level.NOTE)]
    lines = list(github_lines(view(*found)))
    commands = [read(line) for line in lines if read(line)]
    assert [name for name, _, _ in commands] == ["error"] * 10 + ["warning"] * 10 + ["notice"]
    titles = [properties["title"] for _, properties, _ in commands]
    assert titles[:9] == [f"breaking: sales.lines.c{n}" for n in range(9)]
    assert titles[9] == "16 more errors"
    assert all(f"sales.lines.c{n}" in commands[9][2] for n in range(9, 25))
    rest = [line for line in lines if not read(line)]
    assert len(rest) == 16 + 1, "what was not annotated is in the log, and the totals"


def test_what_cannot_be_checked_is_in_the_log_alone() -> None:
    """It is no news: it would be annotated in every pull request."""
    note = finding(kind=FindingKind.UNCHECKED, level=Level.NOTE)
    first, _ = github_lines(view(note))
    assert first == "note: products/sales.py:7:3: unchecked: sales.lines.amount: renamed to net"
    assert read(next(github_lines(view(finding(kind=FindingKind.UNCHECKED)))))[0] == "error"


def test_a_message_is_not_longer_than_github_takes() -> None:
    line, _ = github_lines(view(finding(what="é%" * 40_000, name="n" * 400)))
    _, properties, message = read(line)
    assert len(message.encode()) < 64 * 1024
    assert len(properties["title"]) <= 255


@settings(deadline=None)
@given(VIEWS)
def test_no_text_becomes_a_command_or_leaves_its_annotation(hostile: CheckView) -> None:
    lines = list(github_lines(hostile))
    assert all("\n" not in line and "\r" not in line for line in lines)
    commands = [read(line) for line in lines if read(line)]
    found_of = [found for found in hostile.findings if not found.is_unchecked]
    assert len(commands) == len(found_of)
    ordered = sorted(found_of, key=lambda f: list(Level).index(f.level))
    for (name, properties, message), found in zip(commands, ordered, strict=True):
        assert name == {"error": "error", "warning": "warning", "note": "notice"}[found.level]
        assert properties.get("file", "") == clean(found.file)
        assert properties.keys() <= {"file", "line", "col", "title"}
        assert message


@given(VIEWS)
def test_plain_lines_are_no_commands(hostile: CheckView) -> None:
    for found in hostile.findings:
        for text in (found.what, f"  {found.what}", f"\t{found.name}"):
            assert read(plain(text)) is None

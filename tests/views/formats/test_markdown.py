"""Summaries in Markdown: text stays text, the table keeps its rows, and all of it has a limit."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from assay.text import clean
from assay.views.check import CheckView, DetailView, Level
from assay.views.formats.cases import Case, CaseState, Report
from assay.views.formats.check_summary import check_summary
from assay.views.formats.markdown import MOST, code, escaped, report_summary
from tests.views.formats.findings import HOSTILE, TEXTS, VIEWS, finding, view

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OURS = {"<code>", "</code>", "<br>"}


def shown(text: str) -> str:
    """Return a text from outside as a page shows it: without what keeps it from being a link."""
    return clean(text).replace("\u200b", "")


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token.children or [token])]


def rendered(token: Token) -> str:
    text = "".join(t.content for t in token.children if t.type in {"text", "text_special"})
    return text.replace("\u200b", "").replace("\xa0", " ")


def table(text: str) -> list[list[str]]:
    """Return the cells of the only table."""
    rows: list[list[str]] = []
    before = ""
    for token in MARKDOWN.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and before in {"th_open", "td_open"}:
            rows[-1].append(rendered(token))
        before = token.type
    return rows


@settings(deadline=None)
@given(TEXTS)
def test_escaped_text_is_text(text: str) -> None:
    lone = MARKDOWN.parse(escaped(text) + "\n")
    if not clean(text).strip():
        return
    assert [token.type for token in lone] == ["paragraph_open", "inline", "paragraph_close"]
    assert {token.type for token in lone[1].children} <= {"text", "text_special"}
    assert rendered(lone[1]).strip() == shown(text).replace("\xa0", " ").strip()
    assert not re.search(r"@[^\u200b]|[#!]\w|://|www\.", html.unescape(escaped(text)), re.I)


def test_nothing_is_linked_or_mentioned() -> None:
    for text in HOSTILE:
        page = html.unescape(escaped(text))
        for link in (
            "@octocat",
            "@org",
            "#1",
            "repo#2",
            "!3",
            "https://",
            "www.evil",
            "a@evil",
            ":tada:",
        ):
            assert link not in page, page
    assert "&#60;script&#62;" in code("<script>")


@settings(deadline=None)
@given(VIEWS)
@pytest.mark.long
def test_the_table_has_a_row_for_each_finding(hostile: CheckView) -> None:
    text = check_summary(hostile)
    rows = table(text)
    if not hostile.findings:
        assert not rows
        return
    header, *found = rows
    assert header == ["level", "what", "product", "place", "message"]
    assert [(row[0], row[1]) for row in found] == [(f.level, f.kind) for f in hostile.findings]
    assert {len(row) for row in found} == {5}
    for row, f in zip(found, hostile.findings, strict=True):
        subject = f"{f.name}.{f.of}" if f.of else f.name
        assert row[2].strip() == shown(subject).replace("\xa0", " ").strip()
    tokens = flat(MARKDOWN.parse(text))
    assert not {t.type for t in tokens} & {
        "link_open",
        "image",
        "em_open",
        "s_open",
        "fence",
        "code_block",
    }
    assert {t.content for t in tokens if t.type == "html_inline"} <= OURS
    blocks = [t.content for t in tokens if t.type == "html_block"]
    assert all(
        re.fullmatch(r"<details><summary>(<code>[^<]*</code>)?</summary>\n|</details>\n", b)
        for b in blocks
    ), blocks


TAGS = {
    "h3",
    "p",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "strong",
    "code",
    "details",
    "summary",
    "br",
}


@settings(deadline=None)
@given(VIEWS)
def test_github_makes_no_more_of_it(hostile: CheckView) -> None:
    """By GitHub's own reader, which links addresses also where no Markdown says so."""
    cmark = pytest.importorskip("pycmarkgfm")
    page = cmark.gfm_to_html(check_summary(hostile), options=cmark.options.unsafe)
    assert set(re.findall(r"</?(\w+)", page)) <= TAGS
    assert page.count("<td>") == 5 * len(hostile.findings)
    for found in hostile.findings:
        text = cmark.gfm_to_html(f"x{escaped(found.what)}")[len("<p>x") : -len("</p>\n")]
        assert html.unescape(text).replace("\u200b", "").replace("\xa0", " ").strip() == (
            shown(found.what).replace("\xa0", " ").strip()
        )


def test_what_is_worst_comes_first_and_details_are_folded() -> None:
    details = (DetailView(label="affects", text="discount desk"),)
    text = check_summary(
        view(finding(details=details), finding(level=Level.NOTE, removed=True), against="main"),
        "shop",
    )
    assert text.startswith("### products check failed\n\n2 products checked against main: 1 error")
    assert table(text)[1:] == [
        ["error", "breaking", "sales.lines.amount", "shop/products/sales.py:7:3", "renamed to net"],
        [
            "note",
            "breaking",
            "sales.lines.amount",
            "shop/products/sales.py:7:3 (removed)",
            "renamed to net",
        ],
    ]
    assert text.endswith("renamed to net<br>\naffects: discount desk\n\n</details>\n")
    assert check_summary(view()).startswith("### products check passed\n")


@settings(deadline=None, max_examples=15)
@given(st.sampled_from([1, 15, 600]), TEXTS, st.sampled_from([1, 20, 300]))
@pytest.mark.long
def test_it_is_bounded(number: int, text: str, times: int) -> None:
    details = (DetailView(label="affects", text=(text or "é") * times),)
    found = [
        finding(of=f"c{n}", what=(text or "é") * times, details=details) for n in range(number)
    ]
    summary = check_summary(view(*found))
    assert len(summary.encode()) <= MOST
    rows = table(summary)[1:]
    assert [row[2] for row in rows] == [f"sales.lines.c{n}" for n in range(len(rows))]
    left = number - len(rows)
    assert (f"and {left:,} more, which the log has." in summary) is bool(left)
    assert summary.count("<details>") == summary.count("</details>")


def test_a_report_lists_what_did_not_pass_failed_ones_first() -> None:
    states = (CaseState.SKIPPED, CaseState.PASSED, CaseState.ERROR, CaseState.FAILED)
    cases = tuple(Case(group="sales.a", name=f"is {s}", state=s, message="why") for s in states)
    text = report_summary(Report(title="products test", headline="1 of 4", cases=cases))
    assert "### products test\n\n1 of 4\n\n1 check passed, 3 did not.\n" in text
    assert table(text)[1:] == [
        ["failed", "sales.a", "is failed", "why"],
        ["error", "sales.a", "is error", "why"],
        ["skipped", "sales.a", "is skipped", "why"],
    ]

"""Findings for tests of formats, also with hostile text, and what they must come out as."""

from hypothesis import strategies as st

from assay.views.check import CheckView, DetailView, FindingKind, FindingView, Level

HOSTILE = (
    "| a | b |",
    "](https://evil.example)[x",
    "<script>alert(1)</script><!--",
    "@octocat and @org/team, #1, org/repo#2, !3",
    "```\ncode\n```",
    "**bold** _it_ ~~gone~~ $x^2$ :tada:",
    "https://evil.example www.evil.example a@evil.example",
    "1. one\n2) two\n- three\n+ four\n# five\n> six\n===\n---",
    "::error file=x::boo\n::set-output name=a::b",
    "##[error]boo",
    "%0A::stop-commands::x",
    "a\\|b \\ c\\",
    "\x1b[31mred\x00\u202egnp.exe\ud800 \ufffe\uffff \x85\u2028",
    "    indented",
    "]]> & &amp; &#124; \"'",
)
TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60),
    st.text("|\\`*_[]()<>!#@:-+.=~$&1a \n\r\t", max_size=40),
)


def finding(**fields: object) -> FindingView:
    given = {
        "kind": FindingKind.BREAKING,
        "level": Level.ERROR,
        "name": "sales.lines",
        "of": "amount",
        "what": "renamed to net",
        "file": "products/sales.py",
        "line": 7,
        "column": 3,
    }
    return FindingView(**{**given, **fields})


def view(*findings: FindingView, checked: int = 2, against: str = "") -> CheckView:
    return CheckView(checked=checked, against=against, findings=findings)


FINDINGS = st.builds(
    FindingView,
    kind=st.sampled_from(list(FindingKind)),
    level=st.sampled_from(list(Level)),
    name=TEXTS,
    of=TEXTS,
    what=TEXTS,
    file=TEXTS,
    line=st.integers(0, 50),
    column=st.integers(0, 50),
    removed=st.booleans(),
    details=st.lists(st.builds(DetailView, label=TEXTS, text=TEXTS), max_size=3).map(tuple),
)
VIEWS = st.lists(FINDINGS, max_size=8).map(lambda findings: view(*findings))

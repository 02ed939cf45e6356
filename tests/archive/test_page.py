"""evidence.html: escaped, without a script, and with nothing from elsewhere."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from msgspec.structs import replace

from assay.archive.form import (
    CodeRecord,
    Evidence,
    ReleaseRecord,
    RuleRecord,
    RunRecord,
    VerdictRecord,
    VersionRecord,
    decoded,
    encoded,
)
from assay.archive.page import page_of

AT = datetime(2024, 1, 2, 6, tzinfo=UTC)
EVIL = "<script>alert(1)</script>&\"'\u202e\x1b[31m<img src=x onerror=y>"
VOID = {"meta", "br"}


def evidence(text: str, rules: int = 1) -> Evidence:
    run = RunRecord(id=text, asked=text, started_at=AT)
    rule = RuleRecord(
        name=text, status="failed", severity="error", because=text, samples=({text: text},)
    )
    version = VersionRecord(
        product=text,
        id="v1",
        digest=text,
        key=text,
        owner=text,
        purpose=text,
        built_at=AT,
        data_as_of=None,
        run=run,
        rows=1,
        bytes=1,
        columns=(),
        files=(),
        parts=(),
        in_parts=False,
        inputs=(),
        code=CodeRecord(digest=text, reached={}, sql=text),
        verdicts=(
            VerdictRecord(status=text, judged_at=AT, contract=text, run=run, rules=(rule,) * rules),
        ),
    )
    release = ReleaseRecord(id=1, at=AT, why=text, run=run)
    return Evidence(
        project=text,
        environment=text,
        product=text,
        version="v1",
        release=release,
        versions=(version,),
        sources=(),
        missing=(text,),
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_whatever_is_quoted_stays_text() -> None:
    tags = Tags()
    page = page_of(evidence(EVIL))
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "a", "form"}
    assert tags.attributes <= {"lang", "charset", "http-equiv", "content", "class"}
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not {"\u202e", "\x1b"} & set(page)


def test_evidence_comes_back_as_it_was() -> None:
    whole = evidence(EVIL)
    again = decoded(encoded(whole))
    assert replace(again.versions[0], code=whole.versions[0].code) == whole.versions[0]
    assert encoded(again) == encoded(whole)

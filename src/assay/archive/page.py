"""evidence.html: the evidence as a page that needs nothing else, reads well and prints well."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from assay.archive.form import (
    Evidence,
    IncidentRecord,
    RuleRecord,
    SourceRecord,
    TotalRecord,
    VersionRecord,
)
from assay.facts import short
from assay.text import clean

_LISTED = 200  # rows of a table on the page; evidence.json has all
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #bbb; }
h3 { font-size: 1em; margin: 1.4em 0 .3em; }
table { border-collapse: collapse; width: 100%; margin: .5em 0; }
th, td { text-align: left; vertical-align: top; padding: .2em .6em .2em 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
th { font-weight: 600; color: #555; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: 12px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: #f6f6f6; padding: .7em; white-space: pre-wrap; }
.failed, .error { color: #a30000; font-weight: 600; } .warning { color: #8a5a00; font-weight: 600; }
.passed { color: #12632c; } .quiet { color: #666; }
@media print { body { max-width: none; margin: 0; } h2, h3 { break-after: avoid; } tr, pre { break-inside: avoid; } }
"""


def page_of(evidence: Evidence) -> str:
    """Return the page; whatever is quoted in it is escaped, and it runs nothing."""
    return "\n".join(_lines(evidence)) + "\n"


def _lines(evidence: Evidence) -> Iterator[str]:
    first, title = evidence.versions[0], f"Evidence of {evidence.product}"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_text(title)}</h1>"
    yield from _head(evidence, first)
    if evidence.missing:
        yield "<h2>What is not in it</h2>"
        yield from _list(evidence.missing)
    yield "<h2>The version</h2>"
    yield from _version(first)
    if len(evidence.versions) > 1:
        yield "<h2>What it was built from</h2>"
        for version in evidence.versions[1:]:
            yield f"<h2>{_text(version.product)}</h2>"
            yield from _version(version)
    yield "<h2>Sources</h2>"
    for source in evidence.sources:
        yield from _source(source)
    yield from _around(evidence)
    yield "</body></html>"


def _head(evidence: Evidence, first: VersionRecord) -> Iterator[str]:
    release = evidence.release
    until = _moment(release.until) if release.until else "it is still published"
    yield from _facts(
        [
            ("project, environment", f"{evidence.project}, {evidence.environment}"),
            ("what it is", first.purpose),
            ("owner", first.owner),
            ("release", f"{release.id}, {_moment(release.at)}: {release.why}"),
            ("by", f"run {release.run.id} {release.run.asked}"),
            ("replaced", until),
            ("version", f"{first.id}"),
            ("content digest", first.digest),
            ("size", f"{first.rows:,} rows, {first.bytes:,} bytes"),
            ("data as of", _moment(first.data_as_of)),
        ]
    )
    yield (
        '<p class="quiet">This page and evidence.json say the same; MANIFEST has the SHA-256 of every'
        " file. <code>products evidence --verify FILE</code> checks all of it.</p>"
    )


def _version(version: VersionRecord) -> Iterator[str]:
    yield from _facts(
        [
            ("version", f"{version.id} of {version.product}"),
            ("content digest", version.digest),
            ("built", f"{_moment(version.built_at)} by run {version.run.id}"),
            ("data as of", _moment(version.data_as_of)),
            ("size", f"{version.rows:,} rows, {version.bytes:,} bytes"),
            ("set aside", f"{version.rows_in - version.rows:,} rows" if version.rows_in else ""),
            ("parts held back", ", ".join(version.held)),
        ]
    )
    if version.verdicts:
        yield "<h3>Rules</h3>"
        for verdict in version.verdicts:
            yield f"<p>checked {_text(_moment(verdict.judged_at))}: {_status(verdict.status)}</p>"
            yield from _rules(verdict.rules)
    yield from _exceptions(version)
    yield from _totals(version.totals, f"Control totals of {version.rows:,} rows")
    if version.columns:
        yield "<h3>Columns</h3>"
        rows = (
            (c.name, c.type, c.description + (" (sensitive)" if c.sensitive else ""))
            for c in version.columns
        )
        yield from _table(("column", "type", "meaning"), rows)
    yield "<h3>Built from</h3>"
    inputs = ((i.name, short(i.version) if i.version else "", i.digest) for i in version.inputs)
    yield from _table(("input", "version", "content digest"), inputs)
    yield "<h3>Files</h3>"
    files = ((f.path, f"{f.bytes:,}", f.sha256) for f in version.files)
    yield from _table(("file", "bytes", "SHA-256"), files, numbers={1})
    yield from _code(version)


def _rules(rules: Sequence[RuleRecord]) -> Iterator[str]:
    yield "<table><tr><th>rule</th><th>result</th><th>found</th></tr>"
    for rule in rules:
        about = " · ".join(filter(None, (rule.because, rule.owner, rule.dimension)))
        found = _found(rule)
        yield (
            f"<tr><td>{_text(rule.name)}<br><span class=quiet>{_text(about)}</span></td>"
            f"<td>{_status(rule.status)}</td><td>{_text(found)}{_samples(rule)}</td></tr>"
        )
    yield "</table>"


def _found(rule: RuleRecord) -> str:
    said = []
    if rule.measured is not None:
        said.append(f"measured {rule.measured}")
    if rule.failing is not None:
        said.append(f"{rule.failing:,} failing" + (f" of {rule.rows:,}" if rule.rows else ""))
    said += [rule.tolerates and f"limit: {rule.tolerates}", rule.message]
    said += [rule.waived and f"waived {rule.waived}"]
    return "; ".join(filter(None, said))


def _samples(rule: RuleRecord) -> str:
    rows = (
        ", ".join(f"{name} {'null' if value is None else value}" for name, value in sample.items())
        for sample in rule.samples
    )
    return "".join(f"<br><code>{_text(row)}</code>" for row in rows)


def _exceptions(version: VersionRecord) -> Iterator[str]:
    if version.waivers:
        yield "<h3>Waivers</h3>"
        rows = (
            (w.rule, w.tolerates, w.because, w.approved_by or w.author, str(w.until))
            for w in version.waivers
        )
        yield from _table(("rule", "lets through", "because", "by", "until"), rows)
    if version.approvals:
        yield "<h3>Approvals</h3>"
        approved = (
            (a.approver, a.because, a.author, _moment(a.at), str(a.release or ""))
            for a in version.approvals
        )
        yield from _table(("who agreed", "because", "recorded by", "when", "release"), approved)
    if version.restatements:
        yield "<h3>Restated rows</h3>"
        restated = (
            (r.rule, ", ".join(r.parts), r.because, r.who, _moment(r.at))
            for r in version.restatements
        )
        yield from _table(("rule", "parts", "because", "by", "when"), restated)


def _totals(totals: Sequence[TotalRecord], title: str) -> Iterator[str]:
    if totals:
        yield f"<h3>{_text(title)}</h3>"
        rows = (
            (t.column, t.sum or "", f"{t.nulls:,}", "a rule is about it" if t.promised else "")
            for t in totals
        )
        yield from _table(("column", "sum", "without a value", ""), rows, numbers={1, 2})


def _code(version: VersionRecord) -> Iterator[str]:
    code = version.code
    yield "<h3>Code</h3>"
    tools = ", ".join(f"{name} {number}" for name, number in code.tools.items())
    recorded = {"": "not recorded", "now": "as of now: the digest is the same"}
    yield from _facts(
        [
            ("digest", code.digest),
            ("recorded", recorded.get(code.recorded, code.recorded)),
            ("run with", tools),
        ]
    )
    if code.sql:
        yield f"<pre>{_text(code.sql, keep_lines=True)}</pre>"
    if code.files:
        files = ((f.path, f.entry, f.sha256) for f in code.files)
        yield from _table(("file", "in this archive", "SHA-256"), files)


def _source(source: SourceRecord) -> Iterator[str]:
    yield f"<h3>{_text(source.name)}</h3>"
    files = source.files or ()
    size = f"{len(files):,} files, {sum(f.bytes for f in files):,} bytes"
    yield from _facts(
        [
            ("what it is", source.purpose),
            ("files", f"{source.pattern}: {size}" if source.files is not None else "not recorded"),
            ("content digest", source.digest),
            ("rows", f"{source.rows:,}" if source.rows is not None else ""),
        ]
    )
    yield from _totals(source.totals, "Control totals")
    rows = ((f.path, f"{f.bytes:,}", f.sha256) for f in files)
    yield from _table(("file", "bytes", "SHA-256"), rows, numbers={1})


def _around(evidence: Evidence) -> Iterator[str]:
    if evidence.promises:
        yield "<h2>Promises</h2>"
        rows = ((_moment(p.due), p.state, _moment(p.came), p.cause) for p in evidence.promises)
        yield from _table(("due", "came out", "data came", "because"), rows)
    if evidence.incidents:
        yield "<h2>What was wrong, and who was told</h2>"
        for incident in evidence.incidents:
            yield from _incident(incident)
    if evidence.lineage:
        yield "<h2>Columns into columns</h2>"
        flows = (
            (
                f"{f.source}.{f.source_column or '(rows)'}",
                f"{f.target}.{f.target_column or '(rows)'}",
                ", ".join(f.how),
            )
            for f in evidence.lineage
        )
        yield from _table(("from", "to", "how"), flows)


def _incident(incident: IncidentRecord) -> Iterator[str]:
    until = _moment(incident.closed) if incident.closed else "now"
    why = "; ".join(filter(None, (*incident.rules, incident.error, incident.reason)))
    yield f"<h3>{_text(incident.about)}: {_text(incident.kind)}</h3>"
    yield f"<p>{_text(_moment(incident.opened))} to {_text(until)}. {_text(why)}</p>"
    rows = (
        (_moment(m.at), f"{m.route} {m.to}", m.subject, _moment(m.sent) or m.error or "not yet")
        for m in incident.messages
    )
    yield from _table(("written", "to", "message", "delivered"), rows)


# --------------------------------------------------------------------------------------- HTML


def _facts(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<table>"
    for name, value in facts:
        if value:
            yield f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>"
    yield "</table>"


def _table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int] | None = None
) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield f"<table><tr>{''.join(f'<th>{_text(h)}</th>' for h in headers)}</tr>"
    for row in listed[:_LISTED]:
        cells = (
            f"<td{' class=n' if number in (numbers or ()) else ''}>{_text(cell)}</td>"
            for number, cell in enumerate(row)
        )
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"
    if (more := len(listed) - _LISTED) > 0:
        yield f'<p class="quiet">and {more:,} more, in evidence.json</p>'


def _list(lines: Iterable[str]) -> Iterator[str]:
    yield f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _status(status: str) -> str:
    return f'<span class="{_text(status)}">{_text(status)}</span>'


def _moment(moment: datetime | None) -> str:
    return moment.isoformat(sep=" ", timespec="seconds") if moment else ""


def _text(value: Any, *, keep_lines: bool = False) -> str:
    return escape(clean(str(value), keep_lines=keep_lines))

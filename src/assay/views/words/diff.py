"""What differs between two versions, as lines of text and as Markdown."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from assay.engines.difference import RowChange
from assay.text import clean
from assay.views.diff_views import DiffView, EffectView, RowView
from assay.views.words.figures import shown, signed, total_text
from assay.views.words.numbers import count_of

_MARKUP = re.compile(r"[&<>\\|`*\[\]@#!~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[a-z])://")
_MOST = 12  # downstream products that are named
_TOTALS = 3  # of a product downstream
_SIGNS = {RowChange.NEW: "+", RowChange.CHANGED: "~", RowChange.GONE: "-"}


def diffs_text(views: Iterable[DiffView]) -> Iterator[str]:
    """Yield the lines: what was compared, rows, totals, the largest differences, what it reaches."""
    for view in views:
        yield from map(clean, _lines(view))


def _lines(view: DiffView) -> Iterator[str]:
    before, after = view.before, view.after
    yield (
        f"{view.product}  {before.label} ({before.version[:9]}) -> {after.label}"
        f" ({after.version[:9]})"
    )
    if not view.differs and not view.notes:
        yield "  the same rows"
    else:
        yield from (f"  note  {note}" for note in view.notes)
        yield from _of_rows(view)
    width = max((len(move.text) for move in view.rules), default=0)
    for move in view.rules:
        yield f"  rule  {move.text:{width}}  {move.before or 'not judged'} -> {move.after or 'not judged'}"
    yield from (line for effect in view.effects for line in _effect_lines(effect))
    if view.downstream and not view.effects:
        names = view.downstream[:_MOST]
        more = f" and {len(view.downstream) - _MOST} more" if len(view.downstream) > _MOST else ""
        yield f"  reaches  {', '.join(names)}{more}"
    if view.affects:
        yield f"  affects  {', '.join(view.affects)}"


def _effect_lines(effect: EffectView) -> Iterator[str]:
    """Yield what would become of a product downstream: the totals, and the largest differences."""
    difference = effect.difference
    texts = [effect.why] * bool(effect.why)
    if difference:
        texts += [summary(difference)] if difference.key or difference.rows else difference.notes
        moved = [total for total in difference.totals if total.by]
        texts += [f"{total.column} {signed(total.by)}" for total in moved[:_TOTALS]]
    yield f"  {effect.result:13}  {'  '.join([effect.product, *texts])}"
    if difference:
        yield from (f"  {'':13}    {row_text(row)}" for row in difference.rows)


def _of_rows(view: DiffView) -> Iterator[str]:
    yield from (f"  column added    {name}" for name in view.columns_added)
    yield from (f"  column removed  {name}" for name in view.columns_removed)
    yield from (f"  column retyped  {text}" for text in view.columns_retyped)
    yield f"  {summary(view)}"
    if view.changed_values:
        listed = ", ".join(
            f"{name} in {count_of(rows, 'row')}" for name, rows in view.changed_values.items()
        )
        yield f"  values  {listed}"
    yield from (f"  sum of {total_text(total)}" for total in view.totals)
    yield from (f"  by {_pairs(total.group)}  {total_text(total)}" for total in view.groups)
    yield from (f"  {line}" for line in map(row_text, view.rows))
    listed_rows = sum(row.copies for row in view.rows)
    if left := view.new + view.changed + view.gone - listed_rows:
        yield f"  and {count_of(left, 'row')} more; -n shows more, --to FILE writes all"


def summary(view: DiffView) -> str:
    """Return how many rows there were and are, and how many are new, changed and gone."""
    changed = f"{view.changed:,} changed, " if view.key else ""
    counts = f"{view.new:,} new, {changed}{view.gone:,} gone"
    return f"rows  {view.before.rows:,} -> {view.after.rows:,}: {counts}"


def row_text(row: RowView) -> str:
    """Return a row that differs: its key, and its values before and after."""
    if row.change is RowChange.CHANGED:
        values = ", ".join(
            f"{name} {shown(row.before.get(name))} -> {shown(row.after.get(name))}"
            for name in row.after
        )
    else:
        values = _pairs(row.before if row.change is RowChange.GONE else row.after)
    copies = f"  ({row.copies:,} times)" if row.copies > 1 else ""
    key = f"{_pairs(row.key)}  " if row.key else ""
    return f"{_SIGNS[row.change]} {row.change:7}  {key}{values}{copies}"


def _pairs(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {shown(value)}" for name, value in values.items())


# ------------------------------------------------------------------------------------ Markdown


def diff_markdown(views: Sequence[DiffView]) -> Iterator[str]:
    """Yield Markdown: a heading and tables for each product that differs."""
    for view in views:
        yield f"### {_cell(view.product)}"
        yield ""
        yield f"{_cell(view.before.label)} → {_cell(view.after.label)}: {summary(view)}"
        yield ""
        yield from (f"- {_cell(note)}" for note in view.notes)
        if view.totals or view.groups:
            yield "| sum of | before | after | difference |"
            yield "| --- | ---: | ---: | ---: |"
            for total in (*view.totals, *view.groups):
                name = f"{total.column} {_pairs(total.group)}".strip()
                cells = [name, shown(total.before), shown(total.after), signed(total.by)]
                yield f"| {' | '.join(map(_cell, cells))} |"
            yield ""
        if view.rows:
            yield "| | row | before | after |"
            yield "| --- | --- | --- | --- |"
            for row in view.rows:
                cells = [row.change, _pairs(row.key), _pairs(row.before), _pairs(row.after)]
                yield f"| {' | '.join(map(_cell, cells))} |"
            yield ""
        for effect in view.effects:
            yield from (f"- {_cell(line.strip())}" for line in _effect_lines(effect))
        for move in view.rules:
            yield f"- rule {_cell(move.text)}: {move.before or 'not judged'} → {move.after or 'not judged'}"
        if view.affects:
            yield f"- affects {_cell(', '.join(view.affects))}"


def _cell(text: object) -> str:
    """Return a text that Markdown and HTML show as it is, on one line."""
    return _MARKUP.sub(
        lambda found: "".join(f"&#{ord(sign)};" for sign in found[0]), clean(str(text))
    )

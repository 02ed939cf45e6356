"""The lineage of a column in words: as a tree, and as a Mermaid chart."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from assay.plan.flows import EVERY, ROWS, How
from assay.text import clean
from assay.views.column_lineage import ColumnEndView, ColumnLineageView, FlowView, UnknownView
from assay.views.lineage import quoted


def column_tree(view: ColumnLineageView) -> list[str]:
    """Return lines: what the value comes from, what decides the rows, and what uses the column."""
    description = f"  {view.description}" if view.description else ""
    lines = [clean(f"{view.name}.{view.column}  ({view.type}){description}")]
    here = ColumnEndView(name=view.name, column=view.column)
    rows = ColumnEndView(name=view.name, column=ROWS)
    parts = (
        ("value from", here, view.value, _source, _target),
        ("rows decided by", rows, view.rows, _source, _target),
        ("used by", here, view.used_by, _target, _source),
    )
    for heading, start, flows, far, near in parts:
        if flows:
            lines.append(f"  {heading}")
        for depth, end, flow, repeated in _branches(start, flows, far, near):
            line = f"    {'  ' * depth}{label(end, view)}{_in_words(flow, '  ')}{repeated}"
            lines.append(clean(line))
    if view.unknown:
        lines.append("  not known")
        lines += [clean(f"    {_why_unknown(unknown)}") for unknown in view.unknown]
    return lines


def _why_unknown(unknown: UnknownView) -> str:
    may = "each column may depend on every column of its inputs" if unknown.every else "see perhaps"
    return f"{unknown.name}: {unknown.why} ({may})"


def _source(flow: FlowView) -> ColumnEndView:
    return flow.source


def _target(flow: FlowView) -> ColumnEndView:
    return flow.target


def _branches(
    start: ColumnEndView,
    flows: Sequence[FlowView],
    far: Callable[[FlowView], ColumnEndView],
    near: Callable[[FlowView], ColumnEndView],
) -> Iterator[tuple[int, ColumnEndView, FlowView, str]]:
    """Yield each flow that is reached from `start`, depth first: its depth, its far end, itself.

    What follows an end is listed once; further mentions of it come with ` …`.
    """
    nexts: dict[ColumnEndView, dict[FlowView, None]] = {}
    for flow in flows:
        nexts.setdefault(near(flow), {})[flow] = None
    listed: set[ColumnEndView] = set()
    waiting = [(flow, 0) for flow in reversed(_sorted(nexts.get(start, ())))]
    while waiting:
        flow, depth = waiting.pop()
        end = far(flow)
        below = _sorted(nexts.get(end, ()))
        repeated = " …" if end in listed and below else ""
        yield depth, end, flow, repeated
        if end not in listed:
            waiting += [(child, depth + 1) for child in reversed(below)]
        listed.add(end)


def _sorted(flows: Iterable[FlowView]) -> list[FlowView]:
    """Return the flows of values before those that decide."""
    return sorted(flows, key=lambda flow: not flow.direct)


def label(end: ColumnEndView, view: ColumnLineageView) -> str:
    """Return what an end of a flow is called."""
    if end.name in view.files:
        return f"{end.name} (a file)"
    if end.column == ROWS:
        return f"rows of {end.name}"
    if end.column == EVERY:
        return f"every column of {end.name}"
    return f"{end.name}.{end.column}"


def _in_words(flow: FlowView, before: str = "") -> str:
    """Return the kinds of a flow, "aggregated" or "join, group"; '' for rows that give rows."""
    if flow.how == (How.ROWS,) and flow.source.column == flow.target.column == ROWS:
        return ""
    return before + ", ".join("perhaps" if how == How.UNKNOWN else how for how in flow.how)


def column_mermaid(view: ColumnLineageView) -> list[str]:
    """Return a Mermaid flow chart: arrows for values, dotted ones for what decides."""
    flows = list(dict.fromkeys([*view.value, *view.rows, *view.used_by]))
    here = ColumnEndView(name=view.name, column=view.column)
    ends = dict.fromkeys([here, *(end for flow in flows for end in (flow.source, flow.target))])
    ids = {end: f"n{index}" for index, end in enumerate(ends)}
    lines = ["flowchart LR"]
    lines += [f'  {id}["{quoted(label(end, view))}"]' for end, id in ids.items()]
    for flow in flows:
        arrow = "-->" if flow.direct else "-.->"
        words = _in_words(flow) or "rows"
        lines.append(f"  {ids[flow.source]} {arrow}|{words}| {ids[flow.target]}")
    if view.rows:  # the rows that its product has are those of the column, too
        lines.append(f"  {ids[ColumnEndView(name=view.name, column=ROWS)]} -.->|rows| {ids[here]}")
    return lines

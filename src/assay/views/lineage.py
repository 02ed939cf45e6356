"""What a product or source depends on, and what depends on it: as a tree, as Mermaid, as values."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import field

from assay.plan.graph import Graph
from assay.text import clean
from assay.views.view import View

_SHAPES = {"source": ("[(", ")]"), "file": ("[/", "/]")}


class NodeView(View, frozen=True, kw_only=True):
    """A product or source; `kind` is "source", or how the product is built."""

    name: str
    kind: str


class EdgeView(View, frozen=True, kw_only=True):
    """`target` reads `source`: its data flow into it ("data"), or only its rules read it ("rule").

    `rules` are the rules of `target` that read `source`.
    """

    source: str = field(name="from")
    target: str = field(name="to")
    kind: str
    rules: tuple[str, ...]


class LineageView(View, frozen=True, kw_only=True):
    """The products and sources upstream and downstream of a name, and what reads what."""

    name: str
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]


def lineage_of(graph: Graph, name: str) -> LineageView:
    """Return nodes and edges of the lineage around a name."""
    around = {name} | graph.upstream(name) | graph.downstream(name)
    edges = tuple(
        EdgeView(
            source=read,
            target=product,
            kind="rule" if graph.products[product].reads_in_rules_only(read) else "data",
            rules=graph.products[product].rules_that_read(read),
        )
        for product in graph.order
        if product in around
        for read in graph.products[product].reads
        if read in around
    )
    nodes = tuple(NodeView(name=node, kind=_kind(graph, node)) for node in sorted(around))
    return LineageView(name=name, nodes=nodes, edges=edges)


def _kind(graph: Graph, name: str) -> str:
    return "source" if name in graph.sources else str(graph.products[name].kind)


def as_tree(graph: Graph, name: str) -> list[str]:
    """Return lines: the upstream of a product, then its downstream, indented by distance.

    What only a rule reads is marked with the rule.
    """

    def reads(node: str) -> Sequence[str]:
        return graph.products[node].reads if node in graph.products else ()

    up = list(_branches(name, reads, lambda node, read: _in_rule(graph, node, read)))
    below = _branches(
        name, lambda node: graph.below.get(node, ()), lambda node, by: _in_rule(graph, by, node)
    )
    down = list(below)
    lines = [_label(graph, name)]
    if up:
        lines += ["  depends on", *(f"    {line}" for line in up)]
    if name in graph.products and graph.products[name].incremental:
        lines.append("    previous: its own published version")
    if down:
        lines += ["  used by", *(f"    {line}" for line in down)]
    return lines


def _in_rule(graph: Graph, product: str, read: str) -> str:
    """Return which rules of a product read another, if its data do not flow into the product."""
    declared = graph.products[product]
    if not declared.reads_in_rules_only(read):
        return ""
    rules = ", ".join(repr(rule) for rule in declared.rules_that_read(read))
    return f"  (only in {'a rule' if rules.count(', ') == 0 else 'rules'}: {rules})"


def _branches(
    name: str, nexts: Callable[[str], Iterable[str]], note: Callable[[str, str], str]
) -> Iterator[str]:
    """Yield a line for each name that `nexts` leads to, depth first, with a note about each step.

    The branches of a name are listed once; further mentions end with `…`. There is no recursion:
    a lineage may be deeper than Python's stack.
    """
    listed: set[str] = set()
    waiting = [(name, node, 0) for node in reversed(list(nexts(name)))]
    while waiting:
        before, node, depth = waiting.pop()
        below = list(nexts(node))
        repeated = " …" if node in listed and below else ""
        yield clean(f"{'  ' * depth}{node}{repeated}{note(before, node)}")
        if node not in listed:
            waiting += [(node, child, depth + 1) for child in reversed(below)]
        listed.add(node)


def _label(graph: Graph, name: str) -> str:
    if name in graph.sources:
        return clean(f"{name}  (source, {graph.sources[name].pattern})")
    product = graph.products[name]
    return clean(f"{name}  ({product.kind}, {product.owner})")


def as_mermaid(graph: Graph, name: str) -> list[str]:
    """Return a Mermaid flow chart of the lineage around a name."""
    lineage = lineage_of(graph, name)
    ids = {node.name: f"n{index}" for index, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        opening, closing = _SHAPES.get(node.kind, ("[", "]"))
        lines.append(f'  {ids[node.name]}{opening}"{quoted(node.name)}"{closing}')
    for edge in lineage.edges:
        arrow = "-. rule .->" if edge.kind == "rule" else "-->"
        lines.append(f"  {ids[edge.source]} {arrow} {ids[edge.target]}")
    return lines


def quoted(name: str) -> str:
    """Return a label with the characters escaped that Mermaid treats specially inside quotes."""
    return (
        clean(name)
        .replace("#", "#35;")
        .replace('"', "#quot;")
        .replace("<", "#lt;")
        .replace(">", "#gt;")
    )

"""What a product or source is made of, and what is made of it: as a tree, as Mermaid, as data."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from assay.plan.graph import Graph
from assay.text import clean


def as_tree(graph: Graph, name: str) -> list[str]:
    """Return lines: what it is made of above (indented to the left is nearer), what is made of it below."""
    up = list(_branches(name, lambda n: graph.products[n].reads if n in graph.products else ()))
    down = list(_branches(name, lambda n: graph.below.get(n, ())))
    said = [_label(graph, name)]
    said += ["  made of", *(f"    {line}" for line in up)] if up else []
    said += ["  makes", *(f"    {line}" for line in down)] if down else []
    return said


def _branches(name: str, nexts: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield a line for each name below this one, depth first; what stands above is not repeated (`…`).

    A lineage may be deeper than Python's stack: the names still to be listed are kept in a list instead.
    """
    seen: set[str] = set()
    waiting = [(other, 0) for other in reversed(list(nexts(name)))]
    while waiting:
        here, depth = waiting.pop()
        below = [] if here in seen else list(nexts(here))
        again = " …" if here in seen and any(True for _ in nexts(here)) else ""
        yield f"{'  ' * depth}{clean(here)}{again}"
        seen.add(here)
        waiting += [(other, depth + 1) for other in reversed(below)]


def _label(graph: Graph, name: str) -> str:
    if name in graph.sources:
        return clean(f"{name}  (source, {graph.sources[name].pattern})")
    product = graph.products[name]
    return clean(f"{name}  ({product.kind}, {product.owner})")


def as_data(graph: Graph, name: str) -> dict[str, Any]:
    """Return nodes and edges of the lineage around a name."""
    around = {name} | graph.upstream(name) | graph.downstream(name)
    edges = [
        (read, n)
        for n in graph.order
        if n in around
        for read in graph.products[n].reads
        if read in around
    ]
    nodes = [
        {"name": n, "kind": "source" if n in graph.sources else str(graph.products[n].kind)}
        for n in sorted(around)
    ]
    return {"name": name, "nodes": nodes, "edges": [{"from": a, "to": b} for a, b in edges]}


def as_mermaid(graph: Graph, name: str) -> list[str]:
    """Return a Mermaid flow chart of the lineage around a name."""
    data = as_data(graph, name)
    ids = {node["name"]: f"n{index}" for index, node in enumerate(data["nodes"])}
    shapes = {"source": ("[(", ")]"), "file": ("[/", "/]")}
    said = ["flowchart LR"]
    for node in data["nodes"]:
        left, right = shapes.get(node["kind"], ("[", "]"))
        said.append(f'  {ids[node["name"]]}{left}"{_quoted(node["name"])}"{right}')
    return said + [f"  {ids[edge['from']]} --> {ids[edge['to']]}" for edge in data["edges"]]


def _quoted(name: str) -> str:
    """Return a name that does not end the quotes that it is put in."""
    return (
        clean(name)
        .replace("#", "#35;")
        .replace('"', "#quot;")
        .replace("<", "#lt;")
        .replace(">", "#gt;")
    )

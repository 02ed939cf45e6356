"""The neighbourhood of a product as a drawing: what it is built from, and what is built from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from assay.errors import UsageError
from assay.plan.graph import Graph

_MOST = 40  # boxes of a drawing
_HOPS = 2
WIDTH, HEIGHT = 190.0, 34.0  # of a box, in pixels
_GAP_X, _GAP_Y, _MARGIN = 56.0, 14.0, 6.0
Step = Callable[[Graph, str], Iterable[str]]


class Box(Struct, frozen=True, kw_only=True):
    """A product or source, and where its box is drawn (upper left corner, in pixels)."""

    name: str
    kind: str
    x: float
    y: float
    focus: bool


class Line(Struct, frozen=True, kw_only=True):
    """`target` reads `source`; `path` is the curve between their boxes, as SVG has it."""

    source: str
    target: str
    path: str


class Drawing(Struct, frozen=True, kw_only=True):
    """Boxes and the lines between them, in a picture of this size in pixels.

    `more_up`, `more_down`: how many products and sources are further up and down, not drawn.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    more_up: int
    more_down: int


def drawn(graph: Graph, name: str) -> Drawing:
    """Return the drawing of the neighbourhood of a product or source: two steps up and down."""
    up, down = _near(graph, name, _above), _near(graph, name, _below)
    names = {name, *up, *down}
    edges = [
        (read, target)
        for target in sorted(names & graph.products.keys())
        for read in graph.products[target].reads
        if read in names
    ]
    places = layout(edges) if edges else {name: (0.0, 0.0)}
    names &= places.keys()
    boxes = {
        each: Box(
            name=each,
            kind="source" if each in graph.sources else str(graph.products[each].kind),
            x=x + _MARGIN,
            y=y + _MARGIN,
            focus=each == name,
        )
        for each, (x, y) in sorted(places.items())
    }
    return Drawing(
        width=max(box.x for box in boxes.values()) + WIDTH + _MARGIN,
        height=max(box.y for box in boxes.values()) + HEIGHT + _MARGIN,
        boxes=tuple(boxes.values()),
        lines=tuple(Line(source=a, target=b, path=_curve(boxes[a], boxes[b])) for a, b in edges),
        more_up=len(graph.upstream(name) - names),
        more_down=len(graph.downstream(name) - names),
    )


def _above(graph: Graph, name: str) -> Iterable[str]:
    return graph.products[name].reads if name in graph.products else ()


def _below(graph: Graph, name: str) -> Iterable[str]:
    return graph.below.get(name, ())


def _near(graph: Graph, name: str, step: Step) -> list[str]:
    """Return what is at most two steps away, nearest first; no more than a drawing has room for."""
    found: dict[str, None] = {}
    layer = [name]
    for _ in range(_HOPS):
        layer = [each for at in layer for each in step(graph, at) if each not in found]
        found |= dict.fromkeys(layer)
    return list(found)[: _MOST // 2]


def layout(edges: Sequence[tuple[str, str]]) -> Mapping[str, tuple[float, float]]:
    """Return where boxes are drawn, in layers from left to right, so that few lines cross.

    Raises UsageError if the package that lays them out is not installed.
    """
    try:
        from fast_sugiyama import from_edges
    except ImportError:
        raise UsageError(
            "drawings of the lineage need the package fast-sugiyama",
            hint="pip install 'assay[web]'",
        ) from None
    names = sorted({name for edge in edges for name in edge})
    ids = {name: number for number, name in enumerate(names)}
    [placed, *_] = from_edges(
        [(ids[a], ids[b]) for a, b in edges], vertex_spacing=HEIGHT + _GAP_Y, dummy_vertices=True
    )
    # The layers lie below each other there, the first at the top: here they go from left to right.
    across = {int(n): place for n, place in placed[0] if int(n) < len(names)}
    layers = sorted({y for _, y in across.values()}, reverse=True)
    top = min(x for x, _ in across.values())
    return {
        names[number]: (layers.index(y) * (WIDTH + _GAP_X), x - top)
        for number, (x, y) in across.items()
    }


def _curve(source: Box, target: Box) -> str:
    x1, y1 = source.x + WIDTH, source.y + HEIGHT / 2
    x2, y2 = target.x, target.y + HEIGHT / 2
    bend = max((x2 - x1) / 2, 20.0)
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"

"""What Python shows in a notebook without pages: published rows, the status and the plan, as plain HTML."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from assay.build.evidence import never_shown
from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace, open_workspace
from assay.config import Config
from assay.engines.tables import StoredTable
from assay.errors import AssayError
from assay.facts import Version, short
from assay.plan import ladder
from assay.plan.as_of import as_of
from assay.plan.request import Request
from assay.sensitive import secret
from assay.text import clean
from assay.views.products import ProductViews
from assay.views.promises import promises_of
from assay.views.published import held_back
from assay.views.query import first_rows
from assay.views.results import PlanView
from assay.views.status import StatusView
from assay.views.statuses import statuses
from assay.views.words.freshness import standing_cell
from assay.views.words.numbers import count_of, day
from assay.views.words.results import lines

_ROWS = 10  # of a product that shows itself
_STATUS = ("product", "state", "readers see", "as of", "promise", "because")


def html_of_version(version: Version, stored: StoredTable, config: Config, env: str) -> str:
    """Return the first rows of a published version as HTML, below a line that says what it is."""
    texts = [
        f"version {short(version.id)}",
        count_of(version.rows, "row"),
        f"as of {day(version.data_as_of)}" if version.data_as_of else "",
        f"published in {env}",
    ]
    title = f"<b>{_text(version.product)}</b> {_text(' · '.join(filter(None, texts)))}"
    if held := held_back(version):
        title += f"<br>held back: {_text(held)}"
    try:
        with open_workspace(env, start=config.root, last_good=True) as workspace:
            hidden = _hidden(workspace, version, stored)
        names, rows = first_rows(stored, _ROWS, config, sorted(hidden))
    except AssayError as error:
        return f"<p>{title}</p><p>{_text(' '.join(str(error).split()))}</p>"
    return _table(title, names, rows)


def _hidden(workspace: Workspace, version: Version, stored: StoredTable) -> set[str]:
    """Return the columns that are not shown: all of them, of a product that is not declared now."""
    columns = [column.name for column in version.columns]
    product = workspace.graph.products.get(version.product)
    if product is None:
        return set(columns)
    inputs, _ = inputs_as_of_now(workspace, workspace.observe())
    return secret(columns, never_shown(inputs, product, stored))


class Statuses(tuple[StatusView, ...]):
    """The status of products at a moment; shows itself as a table."""

    now: datetime

    def __repr__(self) -> str:
        rows = (_status_row(view, self.now) for view in self)
        return "\n".join(clean(f"{row[0]}  {row[1]}  {row[5]}").rstrip() for row in rows)

    def _repr_html_(self) -> str:
        rows = (_status_row(view, self.now) for view in self)
        return _table(count_of(len(self), "product"), _STATUS, rows)


def _status_row(view: StatusView, now: datetime) -> tuple[str, ...]:
    readers = view.readers
    return (
        view.plan.product,
        view.state,
        short(readers.version) if readers else "nothing",
        day(view.as_of),
        standing_cell(view.promise, now),
        str(view.because),
    )


def status(*, env: str | None = None, project: Path | str | None = None) -> Statuses:
    """Return the status of all products, as `products status` does.

    `project` is a folder in the project (by default the working directory).
    """
    start = Path(project) if project else None
    with open_workspace(env, start=start, last_good=True) as workspace:
        observed = workspace.observe()
        names = frozenset(workspace.graph.products)
        steps = ladder.plan(workspace.graph, observed, Request(products=names)).steps
        promises = promises_of(workspace, observed, steps) if workspace.graph.has_promises else {}
        found = Statuses(statuses(workspace, observed, steps, promises))
        found.now = observed.now
        return found


class Planned(tuple[PlanView, ...]):
    """What a run would do for each product; shows itself as text with the reasons."""

    __slots__ = ()

    def __repr__(self) -> str:
        width = max((len(view.product) for view in self), default=0)
        return "\n".join(clean(line).rstrip() for view in self for line in lines(view, width))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def plan(*, env: str | None = None, project: Path | str | None = None) -> Planned:
    """Return what a run would do now for each product, and why, as `products plan` does.

    `project` is a folder in the project (by default the working directory). Raises DeclarationError
    for mistakes in the declarations.
    """
    with open_workspace(env, start=Path(project) if project else None) as workspace:
        graph, observed = workspace.graph, workspace.observe()
        steps = ladder.plan(graph, observed, Request(products=frozenset(graph.products))).steps
        views = ProductViews(graph, observed.facts, as_of(graph, observed), observed.now)
        return Planned(views.planned(name, decision) for name, decision in steps.items())


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(_cell(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return (
        f'<table><caption style="text-align:left">{title}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _text(text: str) -> str:
    """Return text that HTML shows as it is."""
    return escape(clean(text))

"""What is said between a run and the processes in which it lets products be made: JSON, a line a message."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.engines.feed import Feed, Measured, Table
from assay.engines.measuring import Stranger
from assay.events import Failed
from assay.failure import Elsewhere
from assay.manifest import product_from, source_from, to_line
from assay.model import Column, Product


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a process is for: one product of the project at `root`, and how wide its engine may open its eyes.

    `handovers` are how each parameter of the function is handed over (None: SQL makes it), `takes` is the parameter
    that takes the path of the file.
    """

    root: Path
    product: Product
    handovers: Mapping[str, str] | None = None
    takes: str = ""
    folders: Sequence[Path]
    spill: Path
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One file to be made, of what, and what is asked of it besides (as in `measure`)."""

    feeds: Sequence[Feed]
    target: Path
    stranger: Stranger | None = None
    ask: Sequence[str] = ()


Reply = Measured | Elsewhere | None


def task_to(task: Task) -> bytes:
    """Return a task as it is sent."""
    told = {
        "root": str(task.root),
        "product": task.product,
        "handovers": None if task.handovers is None else dict(task.handovers),
        "takes": task.takes,
        "folders": [str(folder) for folder in task.folders],
        "spill": str(task.spill),
        "limits": dict(task.limits),
    }
    return to_line(told)


def task_from(message: bytes) -> Task:
    """Return the task that was sent."""
    told = json.loads(message)
    paths = {"root": Path(told["root"]), "spill": Path(told["spill"]), "folders": [Path(f) for f in told["folders"]]}
    return Task(**{**told, **paths, "product": product_from(told["product"])})


def request_to(request: Request) -> bytes:
    """Return a request as it is sent."""
    feeds = [_feed_to(feed) for feed in request.feeds]
    target = str(request.target)
    return to_line({"feeds": feeds, "target": target, "stranger": request.stranger, "ask": list(request.ask)})


def request_from(message: bytes) -> Request:
    """Return the request that was sent."""
    told = json.loads(message)
    return Request(
        feeds=[_feed_from(feed) for feed in told["feeds"]],
        target=Path(told["target"]),
        stranger=tuple(told["stranger"]) if told["stranger"] else None,
        ask=tuple(told["ask"]),
    )


def _feed_to(feed: Feed) -> dict[str, Any]:
    table = {
        "files": [str(file) for file in feed.table.files],
        "cuts": [[str(file), ranges] for file, ranges in feed.table.cuts.items()],
        "split": feed.table.split,
    }
    return {"alias": feed.alias, "name": feed.name, "table": table, "source": feed.source, "root": feed.root}


def _feed_from(told: Mapping[str, Any]) -> Feed:
    table = told["table"]
    cuts = {Path(file): tuple((first, rows) for first, rows in ranges) for file, ranges in table["cuts"]}
    split = tuple(table["split"]) if table["split"] else None
    found = Table(tuple(Path(file) for file in table["files"]), cuts, split)
    source = source_from(told["source"]) if told["source"] else None
    return Feed(alias=told["alias"], name=told["name"], table=found, source=source, root=told["root"])


def reply_to(reply: Reply) -> bytes:
    """Return a reply as it is sent: what was made, what failed, or (None) that it is ready."""
    match reply:
        case Measured():
            at = reply.data_as_of.isoformat() if reply.data_as_of else None
            return to_line({"made": {**asdict(reply), "data_as_of": at}})
        case Elsewhere(kind=kind, failed=failed, again=again):
            return to_line({"failed": {"kind": kind, "error": failed.error, "detail": failed.detail, "again": again}})
        case None:
            return to_line({})


def reply_from(message: bytes) -> Reply:
    """Return what a process replied; ValueError for what is none: code of the user's runs in there."""
    try:
        told = json.loads(message)
        if "failed" in told:
            kind, error, detail, again = (told["failed"][name] for name in ("kind", "error", "detail", "again"))
            return Elsewhere(str(kind), Failed(error=str(error), detail=str(detail)), again=bool(again))
        if not told:
            return None
        made = told["made"]
        return Measured(
            rows=int(made["rows"]),
            columns=tuple(Column(**{name: str(told) for name, told in c.items()}) for c in made["columns"]),
            digest=str(made["digest"]),
            data_as_of=datetime.fromisoformat(made["data_as_of"]) if made["data_as_of"] else None,
            strangers=int(made["strangers"]),
            none=tuple(int(n) for n in made["none"]),
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a reply: {error!r}") from error

"""What is said between a run and the processes in which it lets products be made: JSON, a line a message."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import MsgspecError, Struct, field
from msgspec.json import decode
from msgspec.structs import replace

from assay.build.failures import Elsewhere
from assay.engines.measure import PartCheck
from assay.engines.tables import InputFiles, Measured
from assay.events import Failed
from assay.jsonform import encode
from assay.model import Product
from assay.text import sayable


class Task(Struct, frozen=True, kw_only=True):
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


class MakeRequest(Struct, frozen=True, kw_only=True):
    """One file to be made, of which inputs, and (as in `measure`) which part its rows should be of."""

    inputs: Sequence[InputFiles]
    target: Path
    part_check: PartCheck | None = None


class Made(Struct, frozen=True, kw_only=True):
    """What was made, and which files and environment variables the user's code read for it."""

    measured: Measured
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class _Failure(Struct, frozen=True):
    kind: str
    error: str
    detail: str
    again: bool
    words: Sequence[str] = ()


class _Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    made: Made | None = None
    failed: _Failure | None = None


Reply = Made | Elsewhere | None


def _to(kind: type, told: object) -> object:
    """Return what was said as what is no plain value: a path."""
    if kind is not Path:
        raise TypeError(f"{kind.__name__} was not sent")
    return Path(str(told))


def task_to(task: Task) -> bytes:
    """Return a task as it is sent."""
    return encode(task) + b"\n"


def task_from(message: bytes) -> Task:
    """Return the task that was sent."""
    return decode(message, type=Task, dec_hook=_to)


def request_to(request: MakeRequest) -> bytes:
    """Return a request as it is sent: whose the tables are, and how files were found, stays here."""
    inputs = [
        replace(files, table=replace(files.table, origin=None), observed=())
        for files in request.inputs
    ]
    return encode(replace(request, inputs=inputs)) + b"\n"


def request_from(message: bytes) -> MakeRequest:
    """Return the request that was sent."""
    return decode(message, type=MakeRequest, dec_hook=_to)


def reply_to(reply: Reply) -> bytes:
    """Return a reply as it is sent: what was made, what failed, or (None) that it is ready."""
    match reply:
        case Made():
            said = _Said(made=reply)
        case Elsewhere(kind=kind, failed=failed, again=again, words=words):
            sent = [sayable(word) for word in sorted(words)]
            said = _Said(
                failed=_Failure(kind, sayable(failed.error), sayable(failed.detail), again, sent)
            )
        case None:
            said = _Said()
    return encode(said) + b"\n"


def reply_from(message: bytes) -> Reply:
    """Return what a process replied; ValueError for what is none: code of the user's runs in there."""
    try:
        said = decode(message, type=_Said)
    except (MsgspecError, RecursionError) as error:
        raise ValueError(f"not a reply: {error!r}") from error
    if told := said.failed:
        failed = Failed(error=told.error, detail=told.detail)
        return Elsewhere(told.kind, failed, again=told.again, words=told.words)
    return said.made

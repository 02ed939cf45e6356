"""The messages between a run and its child processes: one line of JSON each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import MsgspecError, Struct, field
from msgspec.json import decode
from msgspec.structs import replace

from assay.build.error_text import RemoteError
from assay.engines.measure import PartCheck
from assay.engines.tables import InputFiles, Measured
from assay.events import Failed
from assay.jsonform import encode
from assay.model import Product
from assay.text import sayable


class Task(Struct, frozen=True, kw_only=True):
    """What a child process is for: one product of the project at `root`.

    `handovers` and `target` are those of its Recipe (None: it is built by SQL). `folders`, `spill`
    and `limits` are for its engine: what it may read, where it spills, and its settings. Events
    later than `until` do not count.
    """

    root: Path
    product: Product
    handovers: Mapping[str, str] | None = None
    target: str = ""
    folders: Sequence[Path]
    spill: Path
    until: datetime
    limits: Mapping[str, str] = field(default_factory=dict)


class MakeRequest(Struct, frozen=True, kw_only=True):
    """One file to build, from which inputs, and the check that its rows are of their part."""

    inputs: Sequence[InputFiles]
    target: Path
    part_check: PartCheck | None = None


class MakeReply(Struct, frozen=True, kw_only=True):
    """What was measured of the file, and which files and variables the user's code has read.

    `peak` is the most memory in bytes that the process has had.
    """

    measured: Measured
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    peak: int = 0


Reply = MakeReply | RemoteError | None  # None: the child is ready


class _Failure(Struct, frozen=True):
    """A RemoteError as it is sent."""

    kind: str
    error: str
    detail: str
    retryable: bool
    words: Sequence[str] = ()


class _ReplyMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A Reply as it is sent; without either field the child is ready."""

    reply: MakeReply | None = None
    failure: _Failure | None = None


def encode_task(task: Task) -> bytes:
    """Return a task as a message."""
    return encode(task) + b"\n"


def decode_task(message: bytes) -> Task:
    """Return the task in a message."""
    return decode(message, type=Task, dec_hook=_path)


def encode_request(request: MakeRequest) -> bytes:
    """Return a request as a message, without the origin and the observed files of its inputs."""
    inputs = [
        replace(files, table=replace(files.table, origin=None), observed=())
        for files in request.inputs
    ]
    return encode(replace(request, inputs=inputs)) + b"\n"


def decode_request(message: bytes) -> MakeRequest:
    """Return the request in a message."""
    return decode(message, type=MakeRequest, dec_hook=_path)


def encode_reply(reply: Reply) -> bytes:
    """Return a reply as a message."""
    if isinstance(reply, RemoteError):
        return encode(_ReplyMessage(failure=_failure(reply))) + b"\n"
    return encode(_ReplyMessage(reply=reply)) + b"\n"


def decode_reply(message: bytes) -> Reply:
    """Return the reply in a message; raise ValueError for text that user's code wrote."""
    try:
        received = decode(message, type=_ReplyMessage)
    except (MsgspecError, RecursionError) as error:
        raise ValueError(f"not a reply: {error!r}") from error
    failure = received.failure
    if failure is None:
        return received.reply
    failed = Failed(error=failure.error, detail=failure.detail)
    return RemoteError(failure.kind, failed, retryable=failure.retryable, words=failure.words)


def _failure(error: RemoteError) -> _Failure:
    return _Failure(
        kind=error.kind,
        error=sayable(error.failed.error),
        detail=sayable(error.failed.detail),
        retryable=error.retryable,
        words=[sayable(word) for word in sorted(error.words)],
    )


def _path(kind: type, value: object) -> object:
    """Decode a path, the only kind of value in messages that JSON does not have."""
    if kind is not Path:
        raise TypeError(f"{kind.__name__} was not sent")
    return Path(str(value))

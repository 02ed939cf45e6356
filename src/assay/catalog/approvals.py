"""Approvals in the catalog: recorded by people, withdrawn, and used by the release that they let out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, convert
from msgspec.json import decode

from assay.approvals import Approval, Given
from assay.catalog.database import Reader, Writer
from assay.catalog.rows import decoded, moment_of, moment_or_none, stamp
from assay.catalog.transactions import Transactions
from assay.errors import Conflict, UsageError
from assay.facts import Move, Release, Version, short
from assay.plan.approvals import logic_of
from assay.plan.digests import code_of


class _ApprovalRow(Struct, array_like=True):
    id: str
    environment: str
    product: str
    version: str
    content: str
    logic: str
    findings: str
    approver: str
    author: str
    because: str
    at: str
    place: str
    withdrawn: str | None
    release: int


_APPROVAL = ", ".join(_ApprovalRow.__struct_fields__)
_INSERT = (
    f"insert into approvals ({_APPROVAL}) values ({', '.join('?' * (_APPROVAL.count(',') + 1))})"
)


class Approvals:
    """What the catalog records of approvals."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def of(self, environment: str) -> Sequence[Approval]:
        """Return all approvals in an environment, the oldest first."""
        with decoded(self._database.name):
            return _approvals(self._database, "environment = ?", [environment])

    def given(self, environment: str, version: Version) -> Given:
        """Return what is recorded about the approval of a version in an environment."""
        with decoded(self._database.name):
            return given(self._database, environment, version)

    def record(self, approval: Approval) -> None:
        """Record an approval; UsageError if the same person gave the same one before."""

        def work(writer: Writer) -> None:
            same = "environment = ? and product = ? and approver = ? and withdrawn is null"
            values = [approval.environment, approval.product, approval.approver]
            for other in _approvals(writer, same, values):
                about = (other.content, other.logic, other.findings)
                if not other.release and about == (
                    approval.content,
                    approval.logic,
                    approval.findings,
                ):
                    raise UsageError(
                        f"{other.approver} approved {short(other.version)} of {other.product}"
                        f" on {other.at:%Y-%m-%d %H:%M} UTC already",
                        hint="`products approvals` lists what is given, and what is missing.",
                    )
            writer.execute(_INSERT, _row(approval))

        self._write(work)

    def withdraw(self, approval: Approval, at: datetime) -> None:
        """Withdraw an approval; UsageError if a release used it, or it was withdrawn."""

        def work(writer: Writer) -> None:
            found = _approvals(writer, "id = ?", [approval.id])
            if found and found[0].release:
                raise UsageError(
                    f"the approval of {approval.approver} let {short(approval.version)} of"
                    f" {approval.product} out in release {found[0].release}: it is published",
                    hint=f"`products restore {approval.product}` publishes an earlier version.",
                )
            if not found or found[0].withdrawn:
                raise UsageError(f"the approval of {approval.approver} was withdrawn already")
            query = "update approvals set withdrawn = ? where id = ?"
            writer.execute(query, [stamp(at), approval.id])

        self._write(work)


def given(reader: Reader, environment: str, version: Version) -> Given:
    """Return what is recorded about the approval of a version in an environment."""
    authors = reader.rows("select who from runs where id = ?", [version.run])
    logic = logic_of(version.key.code)
    rows = reader.rows(
        "select id, code_parts from versions where product = ? and digest = ?",
        [version.product, version.digest],
    )
    same = {
        str(id)
        for id, reached in rows
        if logic_of(code_of(decode(reached, type=dict[str, str]))) == logic
    }
    values = [environment, version.product]
    return Given(
        author=str(authors[0][0]) if authors else "",
        approvals=_approvals(reader, "environment = ? and product = ?", values),
        same=frozenset(same),
    )


def use_approvals(writer: Writer, release: Release, moves: Sequence[Move]) -> None:
    """Record by which approvals the moves of a release are allowed.

    Those that are declared are recorded with it. Raises Conflict if one was withdrawn, or let out
    another release.
    """
    for move in moves:
        for approval in move.approvals:
            found = _approvals(writer, "id = ?", [approval.id])
            if not found and approval.where:
                writer.execute(_INSERT, _row(approval, release, move.version))
                continue
            if not found or found[0].withdrawn or found[0].release:
                raise Conflict(f"the approval of {approval.approver} was withdrawn meanwhile")
            query = "update approvals set release = ? where id = ?"
            writer.execute(query, [release.id, approval.id])


def _approvals(reader: Reader, condition: str, values: Sequence[Any]) -> list[Approval]:
    query = f"select {_APPROVAL} from approvals where {condition} order by at, id"
    return [_approval_of(row) for row in reader.rows(query, values)]


def _approval_of(row: Sequence[Any]) -> Approval:
    fields = convert(row, _ApprovalRow)
    return Approval(
        id=fields.id,
        environment=fields.environment,
        product=fields.product,
        version=fields.version,
        content=fields.content,
        logic=fields.logic,
        findings=fields.findings,
        approver=fields.approver,
        author=fields.author,
        because=fields.because,
        at=moment_of(fields.at),
        where=fields.place,
        withdrawn=moment_or_none(fields.withdrawn),
        release=fields.release,
    )


def _row(approval: Approval, release: Release | None = None, version: str = "") -> list[Any]:
    """Return the values of a row; of a declared approval, as of the release that uses it."""
    at = approval.at or (release.at if release else None)
    assert at
    return [
        approval.id,
        approval.environment,
        approval.product,
        version or approval.version,
        approval.content,
        approval.logic,
        approval.findings,
        approval.approver,
        approval.author,
        approval.because,
        stamp(at),
        approval.where,
        stamp(approval.withdrawn) if approval.withdrawn else None,
        release.id if release else approval.release,
    ]

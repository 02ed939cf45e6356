"""The catalog: immutable facts and the pointers that readers follow, in either database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from assay.catalog.arrivals import Arrivals
from assay.catalog.database import Database, Holds, T, Writer, set_note
from assay.catalog.facts import RecordedFacts
from assay.catalog.reads import UNFINISHED, CatalogReads
from assay.catalog.rows import RESTATED, WAIVER, restated_row, stamp, to_json, waiver_row
from assay.catalog.runs import Runs
from assay.catalog.sources import SourceFiles
from assay.catalog.transactions import Transactions
from assay.catalog.undeclared import UndeclaredColumns
from assay.catalog.writes import add_findings, add_parts, add_verdicts, add_versions, publish
from assay.catalog.writes import relocate as relocate_parts
from assay.facts import Move, Part, PartFindings, Release, Verdict, Version
from assay.model import Waiver
from assay.plan.observed import Facts
from assay.plan.restatements import RestatedRows

if TYPE_CHECKING:
    from assay.catalog.approvals import Approvals
    from assay.catalog.codes import Codes
    from assay.catalog.environments import Environments
    from assay.catalog.incidents import Incidents
    from assay.catalog.promises import Promises

CLOCKS_DIFFER = timedelta(minutes=5)  # tolerated between machines that share a catalog


class Catalog(CatalogReads):
    """Immutable facts, written in one transaction each.

    Its parts are `runs`, `sources`, `arrivals`, `approvals`, `codes`, `environments`, `incidents`,
    `promises` and `undeclared`.
    """

    def __init__(self, database: Database) -> None:
        """Use a database; its tables are created, or migrated to the current schema, if needed."""
        super().__init__(database)
        self._transactions = Transactions(database)
        self.runs = Runs(self._transactions)
        self.sources = SourceFiles(self._transactions)
        self.arrivals = Arrivals(self._transactions)
        self.undeclared = UndeclaredColumns(self._transactions)

    @cached_property
    def approvals(self) -> "Approvals":
        """Who approved what."""
        from assay.catalog.approvals import Approvals  # most projects ask for none

        return Approvals(self._transactions)

    @cached_property
    def codes(self) -> "Codes":
        """The code that runs built and judged by."""
        from assay.catalog.codes import Codes  # a run with nothing to do needs none of it

        return Codes(self._transactions)

    @cached_property
    def environments(self) -> "Environments":
        """The environments that were created."""
        from assay.catalog.environments import Environments  # most commands are for the default one

        return Environments(self._transactions, self.runs)

    @cached_property
    def incidents(self) -> "Incidents":
        """The incidents, and the messages about them."""
        from assay.catalog.incidents import Incidents  # a project without news needs none of it

        return Incidents(self._transactions)

    @cached_property
    def promises(self) -> "Promises":
        """The windows that are watched, and how their promises came out."""
        from assay.catalog.promises import Promises  # a project without promises needs none of it

        return Promises(self._transactions)

    def facts(self, environment: str, holds: Holds) -> Facts:
        """Return what is recorded, for one environment; `holds` is a method of Storage."""
        return RecordedFacts(self, self.sources, environment, holds)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def write(self, work: Callable[[Writer], T]) -> T:
        """Do the work in one transaction; see Transactions.write."""
        return self._transactions.write(work)

    def record(
        self,
        versions: Sequence[Version],
        verdicts: Sequence[Verdict] = (),
        findings: Sequence[PartFindings] = (),
    ) -> Sequence[Version]:
        """Record facts, and return the versions that are new, as recorded.

        The intents of their run to write the files of these versions are dropped.
        """

        def add(writer: Writer) -> list[Version]:
            recorded = add_versions(writer, versions)
            add_verdicts(writer, verdicts)
            add_findings(writer, findings)
            return recorded

        return self.write(add)

    def record_parts(self, product: str, parts: Sequence[Part]) -> Sequence[Part]:
        """Record parts before a version has them, except those with an id; return all with ids."""
        return self.write(lambda writer: add_parts(writer, [(product, part) for part in parts]))

    def relocate(self, parts: Sequence[Part], at: datetime) -> None:
        """Record the new files of parts, all or none; the files that they were in are replaced."""
        self.write(lambda writer: relocate_parts(writer, parts, at))

    def restate(self, rows: Sequence[RestatedRows]) -> None:
        """Record failing rows that were examined and may be published."""
        query = f"insert into restatements ({RESTATED}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self.write(lambda writer: writer.many(query, map(restated_row, rows)))

    def waive(self, waiver: Waiver) -> None:
        """Record a waiver; nothing happens if it is recorded already."""
        marks = ", ".join("?" * len(WAIVER.split(", ")))
        query = f"insert into waivers ({WAIVER}) values ({marks}) on conflict (id) do nothing"
        self.write(lambda writer: writer.execute(query, waiver_row(waiver)))

    def withdraw_waiver(self, id: str, at: datetime) -> None:
        """Record that a waiver does not count any more."""
        query = "update waivers set withdrawn = ? where id = ? and withdrawn is null"
        self.write(lambda writer: writer.execute(query, [stamp(at), id]))

    def keep_unfinished(self, environment: str, names: Sequence[str]) -> None:
        """Record the products that the last run of an environment did not finish."""
        self.write(lambda writer: set_note(writer, UNFINISHED + environment, to_json(list(names))))

    def release(
        self,
        environment: str,
        moves: Sequence[Move],
        expects: Mapping[str, int],
        *,
        run: str,
        at: datetime,
        why: str,
    ) -> Release:
        """Move pointers, all or none, in one transaction.

        `expects` maps every product that is moved, and those it depends on or was checked against,
        to the release that its pointer should be of (0: nothing is published); raises Conflict if a
        pointer is of another release by now.
        """
        unguarded = {move.product for move in moves} - expects.keys()
        assert not unguarded, f"moved without saying what is expected: {unguarded}"
        moved = tuple((move.product, move.version) for move in moves)
        release = Release(id=0, environment=environment, at=at, run=run, why=why, moves=moved)
        return self.write(lambda writer: publish(writer, release, moves, expects))

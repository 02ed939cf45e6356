"""Reports to the log of the loop what is wrong and when it is well again, whoever repaired it."""

from assay.build.workspace import Workspace
from assay.plan.incidents import Incident
from assay.watch.reports import Log, Problems


class WrongNow:
    """Reports incidents after each turn: each once, until it becomes worse or is over.

    They are read from the catalog: a process that has just begun reports those that are open, and
    the end of one that another process has closed is reported as well.
    """

    def __init__(self, log: Log) -> None:
        self._problems = Problems(log)

    def __call__(self, workspace: Workspace, *_: object) -> None:
        now = workspace.clock()
        wrong = {
            incident.cause.key: incident
            for incident in workspace.catalog.incidents.open(workspace.environment)
        }
        for about in self._problems.current.keys() - wrong.keys():
            self._problems.clear(about, now)
        for about, incident in wrong.items():
            self._problems.add(about, _text(incident), now)


def _text(incident: Incident) -> str:
    about, kind = incident.cause.about, incident.cause.kind
    return f"{about}: {kind} (incident {incident.id}: `products incidents` says more)"

"""The log of `products run`: a line for each result and whatever else happens, as text or JSON."""

import errno
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TextIO

from assay.build.workspace import Workspace
from assay.cli.reporters import is_unchanged
from assay.events import Event, Reporter, Retrying, Settled
from assay.plan.as_of import as_of
from assay.plan.observed import Observed
from assay.text import clean
from assay.views.json_text import to_json
from assay.views.products import ProductViews
from assay.views.view import View
from assay.views.words.results import lines, retrying_lines
from assay.watch.reports import Happened, Report

_WIDTH = 24  # of the names of products


_FULL = {errno.ENOSPC, errno.EDQUOT}


class RunLog:
    """Writes lines at once, each with the moment. A full disk ends nothing: lines are missing then."""

    def __init__(self, out: TextIO, clock: Callable[[], datetime], *, as_json: bool) -> None:
        self._out, self._clock, self._as_json = out, clock, as_json
        self._lacks_lines = False

    def __call__(self, report: Report) -> None:
        fields = {"message": report.message, **report.fields}
        self._write(report.at, str(report.what), fields, [_line(report)])

    def note(self, message: str, **fields: Any) -> None:
        """Write something worth knowing."""
        self(Report(what=Happened.NOTE, at=self._clock(), message=message, fields=fields))

    def reporter(self, workspace: Workspace, observed: Observed) -> Reporter:
        """Return what writes the results of a run that begins with what is observed."""
        facts = workspace.catalog.facts(workspace.environment, workspace.storage.holds)
        reaches = as_of(workspace.graph, observed)
        views = ProductViews(workspace.graph, facts, reaches, workspace.clock())

        def write(event: Event, /) -> None:
            match event:
                case Retrying():
                    retrying = views.retrying(event)
                    self._result("retrying", retrying, retrying_lines(retrying, _WIDTH))
                case Settled(results=results, release=release):
                    for result in results:
                        if not is_unchanged(result):
                            view = views.result(result, release.id if release else None)
                            self._result("result", view, lines(view, _WIDTH))

        return write

    def _result(self, what: str, view: View, lines: list[str]) -> None:
        self._write(self._clock(), what, view.as_json(), lines)

    def _write(self, at: datetime, what: str, fields: Mapping[str, Any], lines: list[str]) -> None:
        if self._as_json:
            text = to_json({"at": at.isoformat(), "event": what, **fields}) + "\n"
        else:
            cleaned = (clean(line).rstrip() for line in lines)
            text = "".join(f"{at:%Y-%m-%d %H:%M:%S} {line}\n" for line in cleaned)
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._lacks_lines = True
            return
        if self._lacks_lines:
            self._lacks_lines = False
            self.note("the disk was full: lines of this log are missing")


def _line(report: Report) -> str:
    message = "; ".join(part.strip() for part in report.message.splitlines())
    return f"  {report.what:<10} {message}"

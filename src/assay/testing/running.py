"""Runs tests of files: builds the product of each in a folder of its own, and compares."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any, TypeVar

from assay.declare.project import Project
from assay.errors import AssayError, UsageError, words_of
from assay.facts import Status
from assay.signals import in_thread
from assay.testing import results
from assay.testing.cases import Case
from assay.testing.compare import difference
from assay.testing.folders import folder
from assay.testing.results import CaseView
from assay.testing.rows import path_of, table_of
from assay.testing.trial import Trial
from assay.testing.tried import Tried
from assay.times import shown_while

_LINES = 12  # of a traceback, the last ones
T = TypeVar("T")


class TookTooLong(Exception):
    """What was to be done within a time was not; it goes on in its thread, and nobody waits."""


def within(seconds: float, work: Callable[[], T], name: str) -> T:
    """Do work in a thread of its own; raise TookTooLong if it takes longer."""
    future, _ = in_thread(work, name)
    if not wait([future], seconds).done:
        raise TookTooLong
    return future.result()


def run_case(project: Project, case: Case, timeout: float) -> CaseView:
    """Run a test, and return how it came out; what goes wrong is part of that."""
    started = time.monotonic()
    view = CaseView(
        product=case.product,
        test=case.name,
        result="passed",
        file=case.where.file,
        line=case.where.line,
        seconds=0.0,
    )
    with folder() as at:
        try:
            fields = within(timeout, lambda: _outcome(project, case, at), case.product)
        except TookTooLong:
            fields = _error(f"it took longer than {shown_while(timeout)}, and was left")
        except AssayError as error:
            fields = _error("\n".join(filter(None, [error.what, error.hint])))
        except Exception as error:  # one test that cannot be run does not end the others
            fields = _error(f"{type(error).__name__}: {words_of(error)}")
    data = {f: getattr(view, f) for f in view.__struct_fields__}
    return CaseView(**{**data, **fields, "seconds": round(time.monotonic() - started, 3)})


def _error(problem: str) -> dict[str, Any]:
    return {"result": "error", "problems": (problem,)}


def _outcome(project: Project, case: Case, at: Path) -> dict[str, Any]:
    """Build what a test is about, and return the fields of its result that are not as for passed."""
    base = (project.config.root / case.where.file).parent
    tried = Trial(
        product=case.product,
        inputs=case.inputs,
        previous=case.previous,
        now=case.now,
        previous_at=case.previous_at,
        folder=base,
    ).build(project, at)
    if tried.error and not case.fails:
        lines = tried.detail.splitlines()[-_LINES:]
        return _error("\n".join([f"it could not be built: {tried.error}", *lines]))
    problems = [*_rule_problems(case, tried)]
    fields: dict[str, Any] = {"held_by": tried.held_by}
    if tried.path is not None:
        problems += _file_problems(case, tried.path, base)
    for of, rows, frame in _tables(case, tried):
        if frame is None:
            problems.append(f"{of}: no rule of {case.product} sets rows aside")
            continue
        try:
            found = difference(
                table_of(rows, base),
                frame,
                tried.product.contract.key,
                ordered=case.ordered and of == "expect",
            )
        except UsageError as error:
            raise UsageError(f"{of}: {error.what}", hint=error.hint) from None
        problems += results.words_of(found, of)
        for name, values in results.of_difference(found).items():
            fields[name] = (*fields.get(name, ()), *values)
    if problems:
        fields |= {"result": "failed", "problems": tuple(problems)}
    return fields


def _tables(case: Case, tried: Tried) -> Iterator[tuple[str, Any, Any]]:
    """Yield the tables that a test expects: what they are, the expected rows, the rows that came."""
    if case.expect is not None and tried.path is None:
        yield "expect", case.expect, tried.frame
    if case.set_aside is not None:
        yield "set_aside", case.set_aside, tried.aside
    for rule, rows in case.failing.items():
        if rule not in tried.skipped:
            yield f"failing {rule!r}", rows, tried.found_by(rule)


def _rule_problems(case: Case, tried: Tried) -> Iterator[str]:
    """Yield what is not as a test expects of rules, and of the error."""
    if case.fails:
        if not tried.error:
            yield f"it was built, and should have failed with {case.fails!r}"
        elif case.fails not in f"{tried.error}\n{tried.detail}":
            yield f"it failed, and not with {case.fails!r}: {tried.error}"
    wanted = {*case.holds_back, *case.failing, *(tried.skipped if case.passes else ())}
    for rule in sorted(wanted & tried.skipped.keys()):
        yield f"{rule!r} is not judged, as it reads {tried.skipped[rule]}: give that, too"
    for rule in case.holds_back:
        if rule not in tried.held_by and rule not in tried.skipped:
            others = f"; held by: {'; '.join(tried.held_by)}" if tried.held_by else ""
            yield f"it is not held back by {rule!r}{others}"
    if case.passes:
        for result in tried.rules:
            if result.status not in {Status.PASSED, Status.SKIPPED}:
                message = f": {result.message}" if result.message else ""
                yield f"{result.text!r} does not pass: {result.status}{message}"


def _file_problems(case: Case, path: Path, base: Path) -> Iterator[str]:
    """Yield how the file of a product differs from the text, or the file, that a test expects."""
    if case.expect is None:
        return
    if not isinstance(case.expect, str):
        yield "expect: it is a file: expect its text, or the path of a file with the same content"
    elif "\n" not in case.expect:
        if path.read_bytes() != path_of(case.expect, base).read_bytes():
            yield f"expect: the file is not the same as {case.expect}"
    else:
        got = path.read_bytes().decode("utf-8", "replace").splitlines()
        wanted = case.expect.splitlines()
        for number in range(max(len(got), len(wanted))):
            lines = [lines[number] if number < len(lines) else None for lines in (wanted, got)]
            if lines[0] != lines[1]:
                yield (
                    f"expect: line {number + 1} differs: {_line(lines[0])} → {_line(lines[1])}"
                    "   (expected → got)"
                )
                return


def _line(text: str | None) -> str:
    return "no line" if text is None else repr(text[:200])

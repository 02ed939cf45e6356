"""The verb `products run`: watches the project, and builds what is due until it is stopped."""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
from msgspec.structs import replace

from assay.build.standings import Stand
from assay.build.workspace import Workspace, environment_of, open_workspace
from assay.catalog import shared_catalog
from assay.catalog.known import check_environment
from assay.catalog.leading import lead_of
from assay.cli.options import ENV, JOBS, JSON, options
from assay.cli.run_log import RunLog
from assay.cli.running import tune_garbage_collection
from assay.config import Config, find_config
from assay.events import Outcome
from assay.plan.observed import Observed
from assay.signals import stop_at_sigterm
from assay.times import seconds_of
from assay.watch.files import Waker
from assay.watch.loop import Watching, run
from assay.watch.notify import misfits_of
from assay.watch.opening import Opening
from assay.watch.server import serving
from assay.watch.telling import tell
from assay.watch.turn import TurnOptions
from assay.watch.vitals import Vitals
from assay.watch.wrong import WrongNow


def _while(ctx: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    try:
        return timedelta(seconds=seconds_of(value))
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 30s, 5m or 1h") from None


@click.command("run")
@options(ENV, JSON, JOBS)
@click.option(
    "--poll",
    callback=_while,
    default="1m",
    show_default=True,
    metavar="TIME",
    help="Look for changes at least this often.",
)
@click.option("--eager", is_flag=True, help="Build all that is stale, also what is not due yet.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Serve /healthz and /metrics on this port; default: no port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="With --port: the address to listen on.",
)
@click.option(
    "--healthy-within",
    "within",
    callback=_while,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="/healthz fails after TIME without a sign of life.",
)
@click.option("--turns", type=click.IntRange(1), metavar="N", help="End after N turns.")
def verb(
    env: str | None,
    as_json: bool,
    jobs: int | None,
    poll: timedelta,
    eager: bool,
    port: int | None,
    host: str,
    within: timedelta,
    turns: int | None,
) -> None:
    """Watch the project: build what is due, again and again, until it is stopped."""
    config = find_config(Path.cwd())
    environment = environment_of(env) or config.environment
    if environment != config.environment:
        with closing(shared_catalog(config)) as catalog:
            check_environment(catalog, config, environment)
    vitals = Vitals(environment, within)
    log = RunLog(sys.stdout, _now, as_json=as_json)
    stop_at_sigterm()
    tune_garbage_collection()
    with ExitStack() as stack:
        if port is not None:
            listening = stack.enter_context(serving(vitals, _now, host=host, port=port))
            log.note(f"listening on http://{host}:{listening}", port=listening)
        watching = Watching(
            open=Opening(
                lambda before: open_workspace(
                    environment, create=True, last_good=True, before=before
                )
            ),
            clock=_now,
            sleep=time.sleep,
            log=log,
            vitals=vitals,
            lead=lead_of(config, environment),
            until=lambda: turns is not None and vitals.turns.total() >= turns,
            poll=poll,
            options=TurnOptions(
                jobs=jobs or 0,
                eager=eager,
                standings=port is not None,
                after=(_tidy, partial(tell, note=log.note), WrongNow(log), _Misfits(log.note)),
                reporter_of=log.reporter,
            ),
        )
        stack.enter_context(redirect_stdout(sys.stderr))  # users' code prints to stderr
        run(stack.enter_context(_woken_by_files(watching, config, log)))


def _now() -> datetime:
    return datetime.now(UTC)


def _tidy(workspace: Workspace, observed: Observed, outcome: Outcome | None, stand: Stand) -> None:
    """Free what a run leaves in cycles: a process that lives for months does not grow."""
    if outcome:
        gc.collect()


class _Misfits:
    """Notes conditions of routes that fit nothing, once for as long as they do not change."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._noted = note, frozenset[str]()

    def __call__(self, workspace: Workspace, *_: object) -> None:
        problems = dict.fromkeys(misfits_of(workspace))
        for problem in problems:
            if problem not in self._noted:
                self._note(problem)
        self._noted = frozenset(problems)


@contextmanager
def _woken_by_files(watching: Watching, config: Config, log: RunLog) -> Iterator[Watching]:
    """Let changes of files end the wait between turns, if the package for that is installed."""
    if find_spec("watchfiles") is None:
        log.note(
            "changes are found by looking for them: pip install 'assay[run]' finds them sooner"
        )
        yield watching
        return
    waker = Waker(config.definitions, log.note)
    try:
        yield replace(watching, sleep=waker, watch=waker.watch)
    finally:
        waker.close()

"""The command `products`: parse, call, print, exit code."""

import atexit
import gc as cycles
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from assay import query as queries
from assay.config import find_config
from assay.errors import AssayError, UsageError, remedy
from assay.events import Outcome
from assay.explain import explain, explain_part
from assay.findings import as_data as found_as_data
from assay.findings import in_words
from assay.going import end, go
from assay.history import history_of
from assay.keeping import gc, restore_version
from assay.lineage import as_data, as_mermaid, as_tree
from assay.model import short
from assay.moving import catalog_verbs
from assay.options import ENV as _ENV
from assay.options import JSON as _JSON
from assay.options import NOW as _NOW
from assay.options import options as _options
from assay.options import say as _say
from assay.periods import seconds_of
from assay.plan import plan
from assay.project import open_project
from assay.read import published, table_of
from assay.rebuilding import rebuilt
from assay.report import rounded, table
from assay.restoring import mixed_by_pins
from assay.rulings import failures as failures_of
from assay.rulings import history_of_rule, judged_how, rule_of, sparkline
from assay.running import Manner
from assay.secrecy import secret
from assay.session import Session, check_now, environment_of, open_session
from assay.shown import copy_out, progress, show_answer, show_rows, version_shown
from assay.start import start_project
from assay.status import status_of
from assay.story import Story, about, clean, day, lines, parts_of
from assay.suggest import suggestion
from assay.tidying import finish
from assay.verify import verify


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AssayError as error:
            click.echo(clean(str(error), keep_lines=True), err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            if (said := error.format_message()) == clean(said, keep_lines=True):
                raise
            raise click.UsageError(clean(said, keep_lines=True), error.ctx) from None  # it quotes what was typed
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            return _lacking(ctx, f"{error.strerror or error}{where}", remedy(error))
        except Exception as error:
            if hint := remedy(error):
                return _lacking(ctx, str(error).partition("\n")[0] or type(error).__name__, hint)
            raise


def _lacking(ctx: click.Context, said: str, hint: str) -> NoReturn:
    click.echo(clean(said) + (f"\n  {hint}" if hint else ""), err=True)
    ctx.exit(1)


def run() -> None:
    """Run the command as a process of its own.

    It leaves without taking the interpreter down piece by piece: that costs as much as a small command, and DuckDB's
    binding complains on the way about objects that Polars still holds. Nor does it look for cycles among the values
    that a large project is, hundreds of thousands, unless it goes to work (`execute` turns that on again).
    """
    cycles.disable()
    code = 1
    _speak_alone()
    try:
        main(prog_name="products")
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # who listened has heard enough
    except OSError as error:
        if not code:
            click.echo(f"what there is to say could not be written: {error.strerror}", err=True)
        code = code or 1
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _speak_alone() -> None:
    """Keep standard output to what we say: whatever else writes to descriptor 1 meanwhile, a library or a process that
    users' code starts, writes beside it.

    A stream that is closed leads nowhere instead, so that no file of ours gets its number and hears what is said.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free: this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    before, ours = sys.stdout, os.dup(1)
    os.dup2(2, 1)
    sys.stdout = open(ours, "w", 1 if before.isatty() else -1, before.encoding, before.errors)  # noqa: PTH123, SIM115


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="assay")
def main() -> None:
    """Data products that are judged before anyone can read them."""


for _verb in (catalog_verbs, gc, restore_version):
    main.add_command(_verb)


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 90s, 10m or 2h") from None


_SELECT = click.option("-s", "--select", multiple=True, metavar="SELECTOR", help="Which products; all by default.")
_EXCLUDE = click.option("--exclude", multiple=True, metavar="SELECTOR", help="Which of them not.")


def _width(names: Iterable[str]) -> int:
    return max((len(name) for name in names), default=0)


def _exit(code: int) -> NoReturn:
    click.get_current_context().exit(code)


# ---------------------------------------------------------------------------------------------- making


@main.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@_JSON
def init(folder: Path, as_json: bool) -> None:
    """Make a small project that runs, in an empty folder."""
    made = start_project(folder)
    if as_json:
        return _say({"made": made})
    for path in made:
        click.echo(f"  made  {path}")
    click.echo("Next: products materialize")
    return None


@main.command()
@click.argument("names", nargs=-1)
@_options(_SELECT, _EXCLUDE, _ENV, _NOW, _JSON)
@click.option("--parts", default="", metavar="A..B", help="Build just these parts, such as 2011-11-01..2011-11-30.")
@click.option("--force", is_flag=True, help="Build again, whatever is there.")
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first product that fails or is held back.")
@click.option("--wait", callback=_seconds, default="0s", metavar="TIME", help="Wait so long for other runs: 90s, 10m.")
@click.option("--restate", multiple=True, metavar="NAME", help="Let settled rows of this product change, once.")
@click.option("--because", default="", metavar="TEXT", help="Why they change; it is recorded.")
def materialize(
    names: Sequence[str], select: Sequence[str], exclude: Sequence[str], env: str | None, now: datetime | None,
    as_json: bool, parts: str, force: bool, jobs: int | None, fail_fast: bool, wait: float, restate: Sequence[str],
    because: str,
) -> None:  # fmt: skip
    """Build what is stale, judge it, and publish what passed; NAMES are selectors, as those of -s."""
    if parts and not (names or select):
        raise UsageError("--parts needs the name of a product", hint=f"products materialize NAME --parts {parts}")
    if bool(restate) != bool(because.strip()):
        raise UsageError("--restate NAME and --because TEXT go together", hint="Say why settled rows change.")
    with open_session(env, now, create=True) as session:
        check_now(session, now)
        finish(session)
        observed = session.observe()
        restated = dict.fromkeys(restate, because.strip())
        request = session.request(observed, [*names, *select], exclude, force=force, restate=restated, parts=parts)
        manner = Manner(jobs=jobs or 0, fail_fast=fail_fast, wait=wait)
        outcome = go(session, observed, request, as_json=as_json, manner=manner)
    for name in sorted(request.restated):
        if not outcome.results[name].judged:
            click.echo(f"  nothing of {name} had to be restated", err=True)
    end(outcome, as_json)
    _exit(outcome.exit_code)


@main.command()
@_options(_ENV, _NOW, _JSON)
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
def retry(env: str | None, now: datetime | None, as_json: bool, jobs: int | None) -> None:
    """Build again what failed or was left in the last run, and what was held because of that alone."""
    with open_session(env, now, create=True) as session:
        check_now(session, now)
        names = [n for n in session.catalog.unfinished(session.environment) if n in session.project.graph.products]
        if names:
            observed = session.observe()
            outcome = go(
                session, observed, session.request(observed, names), as_json=as_json, manner=Manner(jobs=jobs or 0)
            )
        else:
            outcome = Outcome()
            click.echo("  nothing failed last time", err=as_json)
    end(outcome, as_json)
    _exit(outcome.exit_code)


# ---------------------------------------------------------------------------------------------- looking


@main.command("ls")
@_options(_SELECT, _EXCLUDE, _ENV, _JSON)
def list_products(select: Sequence[str], exclude: Sequence[str], env: str | None, as_json: bool) -> None:
    """List the products: what each is for, and whose it is."""
    with open_session(env) as session:
        chosen = session.request(session.observe(), select, exclude).products
        products = [session.project.graph.products[n] for n in session.project.graph.order if n in chosen]
    if as_json:
        return _say([about(product) for product in products])
    told = [(p.name, p.kind, parts_of(p), p.owner, p.purpose) for p in products]
    table(("product", "made by", "parts", "owner", "purpose"), told)
    return None


@main.command()
@_options(_SELECT, _EXCLUDE, _ENV, _NOW, _JSON)
def status(select: Sequence[str], exclude: Sequence[str], env: str | None, now: datetime | None, as_json: bool) -> None:
    """Say for each product what readers see, and whether it is what it should be."""
    with open_session(env, now) as session:
        observed = session.observe()
        steps = plan(session.project.graph, observed, session.request(observed, select, exclude)).steps
        story = Story(session.project.graph, observed.facts)
        products = session.project.graph.products
        held, now = story.made_of_held(products), session.clock()
        mixed = mixed_by_pins(session.catalog, session.project.graph, session.environment)
        left = set(session.catalog.unfinished(session.environment))
        told = [
            status_of(
                products[n], story.decided(n, d), story, now,
                made_of_held=held.get(n, ()), mixed=mixed.get(n, ()), left=n in left,
            )
            for n, d in steps.items()
        ]  # fmt: skip
    if as_json:
        return _say(told)
    table(
        ("product", "state", "readers see", "as of", "rows", "promised", "because"),
        [(t["product"], t["state"], short((t["readers"] or {}).get("version", "nothing")), day(t["as_of"] or ""),
          (t["readers"] or {}).get("rows"), t["freshness"], t["because"]) for t in told],
    )  # fmt: skip
    return None


@main.command("plan")
@_options(_SELECT, _EXCLUDE, _ENV, _NOW, _JSON)
@click.option("--force", is_flag=True, help="As `materialize --force` would.")
def show_plan(
    select: Sequence[str], exclude: Sequence[str], env: str | None, now: datetime | None, as_json: bool, force: bool
) -> None:
    """Say what `materialize` would do, and why. Changes nothing."""
    with open_session(env, now) as session:
        observed = session.observe()
        made = plan(session.project.graph, observed, session.request(observed, select, exclude, force=force))
        story = Story(session.project.graph, observed.facts)
        told = [story.planned(name, decision) for name, decision in made.steps.items()]
    if as_json:
        return _say(told)
    shown = [t for t in told if t["result"] != "unchanged" or t["pinned"] or t.get("held_parts")]
    for item in shown:
        for line in lines(item, _width(made.steps)):
            click.echo(clean(line).rstrip())
    if len(told) > len(shown):
        count = len(told) - len(shown)
        click.echo(f"  unchanged  {count} product{'s' if count > 1 else ''}")
    return None


@main.command()
@click.argument("name")
@_options(_ENV, _NOW, _JSON)
@click.option("--rules", is_flag=True, help="Say how each of its rules is judged instead, with the query.")
@click.option("--part", metavar="PART", help="Say of one part what it is made of, and what is next for it, instead.")
def why(name: str, env: str | None, now: datetime | None, as_json: bool, rules: bool, part: str | None) -> None:
    """Say what is next for a product, rung by rung, and what would change it."""
    with open_session(env, now) as session:
        full = session.project.graph.resolve(name)
        if rules:
            return _rules(session, full, as_json)
        graph, observed = session.project.graph, session.observe()
        told = explain_part(graph, observed, full, part) if part else explain(graph, observed, full)
    if as_json:
        return _say(told)
    return click.echo("\n".join(told["lines"]))


def _rules(session: Session, name: str, as_json: bool) -> None:
    """Say how each rule is judged."""
    session.project.vouch([name])
    shelf, decisions = session.shelf(session.observe())
    meant = getattr(decisions[name], "version", None) or next(iter(session.catalog.versions(name, 1)), None)
    judged = session.catalog.verdicts(meant.id, session.environment)[:1] if meant else []
    told = judged_how(shelf, session.project.graph.products[name], meant, judged[0].results if judged else ())
    if as_json:
        return _say(told)
    for item in told:
        last = (
            f"   {short(meant.id)}: {item['last']['status']}, {item['last']['how']}" if meant and item["last"] else ""
        )
        click.echo(f"  {clean(item['rule'])}")
        click.echo(f"      {item['how']}{': ' + clean(item['because']) if item.get('because') else ''}{last}")
        for line in item["query"].splitlines():
            click.echo(f"      {clean(line)}")
    return None


@main.command()
@click.argument("name")
@_options(_ENV, _JSON)
@click.option("--rule", metavar="RULE", help="How this rule came out instead: its words, or some of them.")
def history(name: str, env: str | None, as_json: bool, rule: str | None) -> None:
    """List the versions of a product: how each was judged, and when readers saw it."""
    with open_session(env) as session:
        product = session.project.graph.products[session.project.graph.resolve(name)]
        if rule is not None:
            chosen = rule_of(product, rule)
            return _history_of_rule(
                chosen.text, history_of_rule(session.catalog, product, chosen, session.environment), as_json
            )
        told = history_of(session.catalog, product, session.environment)
    if as_json:
        return _say(told)
    table(
        ("version", "readers", "built", "rows", "as of", "verdict", "failed rules", "released"),
        [
            (short(t["version"]), "pinned" if t["pinned"] else "see this" if t["now"] else "", _second(t["built_at"]),
             t["rows"], day(t["data_as_of"] or ""), t["verdict"], "; ".join(t["failed"]) or t["restated"],
             "; ".join(f"#{r['release']} {_second(r['at'])}" for r in t["released"]))
            for t in told
        ],
    )  # fmt: skip
    return None


def _history_of_rule(text: str, told: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        return _say(told)
    click.echo(f"  {clean(text)}")
    if line := sparkline([item["value"] for item in told]):
        click.echo(f"  {line}")
    table(
        ("version", "built", "as of", "status", "value", "of rows", "allowed"),
        [(short(t["version"]), _second(t["built_at"]), day(t["data_as_of"] or ""), t["status"], rounded(t["value"]),
          t["rows"], t["threshold"]) for t in told],
    )  # fmt: skip
    return None


def _second(moment: str) -> str:
    return moment[:19].replace("T", " ")


@main.command()
@click.argument("name")
@_options(_ENV, _JSON)
@click.option("--version", "version_id", metavar="VERSION", help="A version of it, also one never published.")
@click.option("--held", is_flag=True, help="The version that is held back.")
@click.option("--failures", metavar="RULE", help="The rows that fail this rule: its words, or some of them.")
@click.option("-n", "--rows", "count", default=10, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Write it there instead, all of it.")
def show(
    name: str, env: str | None, as_json: bool, version_id: str | None, held: bool, failures: str | None, count: int,
    to: Path | None,
) -> None:  # fmt: skip
    """Show the first rows of what readers see of a product; values of sensitive columns are hidden."""
    with open_session(env) as session:
        product = session.project.graph.products[session.project.graph.resolve(name)]
        observed = session.observe()
        shelf, steps = session.shelf(observed)
        version = version_shown(session, product.name, steps, version_id, held=held)
        if failures is not None:
            rule = rule_of(product, failures)
            with failures_of(session.project, shelf, product, version, rule) as (names, rows):
                return show_rows(names, rows, None if to else count, as_json, to)
        stored = table_of(version, session.storage)
    if to:
        copy_out(product.name, stored, to)
        copied = {"product": product.name, "version": version.id, "file": str(to)}
        _say(copied) if as_json else click.echo(clean(f"  copied  {product.name} {short(version.id)} to {to}"))
    elif not version.columns:
        told = {"product": product.name, "version": version.id, "file": str(stored.files[0]), "bytes": version.bytes}
        _say(told) if as_json else click.echo(
            clean(f"  {product.name} {short(version.id)}: {version.bytes:,} bytes at {stored.files[0]}")
        )
    else:
        hide = sorted(secret([c.name for c in version.columns], session.project.graph.sensitive(product.name)))
        names, found = queries.first_rows(stored, count, session.project.config, hide)
        _say([dict(zip(names, row, strict=True)) for row in found]) if as_json else table(names, found)
        if not as_json and count < version.rows:
            click.echo(f"  {count} of {version.rows:,} rows; -n {version.rows} shows all", err=True)
    return None


@main.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--repair", is_flag=True, help="Mend what can be proved, or build it again; set aside what is damaged or foreign."
)
@_JSON
def verify_store(names: Sequence[str], repair: bool, as_json: bool) -> None:
    """Look whether the catalog is sound and every stored file still what was written. NAMES: only these products."""
    with progress() as told:
        found = verify(config := find_config(Path.cwd()), names, now=(now := datetime.now(UTC)), mend=repair, told=told)
    if repair:
        found = rebuilt(found, config, now=now)
    _say(found_as_data(found)) if as_json else click.echo(clean("\n".join(in_words(found)), keep_lines=True))
    _exit(found.exit_code)


@main.command("suggest")
@click.argument("name")
@_options(_ENV, _JSON)
def suggest_contract(name: str, env: str | None, as_json: bool) -> None:
    """Suggest a contract: what a source or a published product holds, as pandera code to paste."""
    with open_session(env) as session:
        graph = session.project.graph
        full = graph.resolve(name, sources=True)
        shelf, _ = session.shelf(session.observe())
        told = suggestion(graph, shelf, full)
    if as_json:
        return _say(asdict(told))
    click.echo(clean(told.code, keep_lines=True))
    return None


@main.command()
@click.argument("sql")
@_ENV
@click.option("--as-of", metavar="TIME", help="As readers saw it then: a moment, or a release number.")
@click.option("--format", "format", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-n", "--rows", "count", type=click.IntRange(0), help="So many rows; all, but of a table the first 1000.")
def query(sql: str, env: str | None, as_of: str | None, format: str, as_json: bool, count: int | None) -> None:
    """Ask the published products in SQL. It can read them, and nothing else."""
    seen = published(find_config(Path.cwd()), environment_of(env), as_of)
    with queries.run(sql, seen) as (names, rows):
        show_answer(names, rows, count, "json" if as_json else format)


@main.command()
@click.argument("name")
@click.option("--format", "format", type=click.Choice(["tree", "mermaid", "json"]), default="tree", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def lineage(name: str, format: str, as_json: bool) -> None:
    """Show what a product or source is made of, and what is made of it."""
    graph = open_project().graph
    full = graph.resolve(name, sources=True)
    if as_json or format == "json":
        return _say(as_data(graph, full))
    for line in as_mermaid(graph, full) if format == "mermaid" else as_tree(graph, full):
        click.echo(line)
    return None

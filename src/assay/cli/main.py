"""The command `products`: parse, call, print, exit code."""

import atexit
import gc as cycles
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from assay.declare.exits import hold
from assay.errors import AssayError, remedy
from assay.signals import end_now, end_when_deaf, hearing, is_left_behind
from assay.text import clean

# What `--help` says of each verb: its module, and all that this works with, is loaded when it is asked for.
VERBS = {
    "catalog": "Move what is recorded to another database, and back.",
    "gc": "Remove versions that need not be kept, and files that nobody can be reading any more; tidy up small files.",
    "history": "List the versions of a product: how each was judged, and when readers saw it.",
    "init": "Make a small project that runs, in an empty folder.",
    "lineage": "Show what a product or source is made of, and what is made of it.",
    "ls": "List the products: what each is for, and whose it is.",
    "materialize": "Build what is stale, judge it, and publish what passed; NAMES are selectors, as those of -s.",
    "plan": "Say what `materialize` would do, and why. Changes nothing.",
    "query": "Ask the published products in SQL. It can read them, and nothing else.",
    "retire": "Take products that are no longer declared away from their readers; `restore` brings one back.",
    "restore": "Put an earlier version of a product, or all of a release, before its readers, and pin it there.",
    "retry": "Build again what failed or was left in the last run, and what was held because of that alone.",
    "show": "Show the first rows of what readers see of a product; values of sensitive columns are hidden.",
    "status": "Say for each product what readers see, and whether it is what it should be.",
    "suggest": "Suggest a contract: what a source or a published product holds, as pandera code to paste.",
    "verify": "Look whether the catalog is sound and every stored file still what was written.",
    "why": "Say what is next for a product, rung by rung, and what would change it.",
}


# What other tools call it, and what does it here.
_ELSEWHERE = {
    "build": "`products materialize` builds what is stale, checks it, and publishes what passed.",
    "clean": "`products gc` removes versions that need not be kept.",
    "compile": "`products plan` says what would be built, and why.",
    "docs": "`products ls` lists the products; `products lineage NAME` shows what one reads and what reads it.",
    "list": "`products ls` lists the products.",
    "run": "`products materialize` builds what is stale, checks it, and publishes what passed.",
    "test": "`products materialize` checks whatever it builds, and again when a rule changes.",
    "waive": "`products materialize --restate NAME --because TEXT` lets settled rows change that are held back.",
}


def verb_of(name: str) -> click.Command:
    """Return one of the VERBS."""
    verb: click.Command = import_module(f"assay.cli.verbs.{name}").verb
    return verb


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return verb_of(cmd_name) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if hint := _ELSEWHERE.get(args[0]):
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        if args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches  # it takes as long as all that `--help` loads

            if close := get_close_matches(args[0], VERBS, n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with hearing():
                return super().invoke(ctx)
        except AssayError as error:
            click.echo(clean(str(error), keep_lines=True), err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            if (said := error.format_message()) == clean(said, keep_lines=True):
                raise
            raise click.UsageError(
                clean(said, keep_lines=True), error.ctx
            ) from None  # it quotes what was typed
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
    _speak_alone()  # first: what is opened before could get the number of a stream that is closed
    end_when_deaf()
    hold()
    code = 1
    try:
        main(prog_name="products")
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    if not is_left_behind():
        atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # who listened has heard enough
    except OSError as error:
        if not code:
            click.echo(f"what there is to say could not be written: {error.strerror}", err=True)
        code = code or 1
    for stream in (
        sys.__stdout__,
        sys.stderr,
    ):  # users' code may have kept what it has to say for Python's own
        with suppress(OSError, ValueError):
            if stream:
                stream.flush()
    end_now(code)


def _speak_alone() -> None:
    """Keep standard output to what we say: whatever else writes to descriptor 1 meanwhile, a library or a process that
    users' code starts, writes beside it.

    A stream that is closed leads nowhere instead, so that no file of ours gets its number and hears what is said.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # it gets the lowest number that is free: this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    before, ours = sys.stdout, os.dup(1)
    os.dup2(2, 1)
    sys.stdout = open(ours, "w", 1 if before.isatty() else -1, before.encoding, before.errors)  # noqa: PTH123, SIM115


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="assay")
def main() -> None:
    """Data products that are judged before anyone can read them."""

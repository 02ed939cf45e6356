"""The command `products`: parse, call, print, exit code."""

import atexit
import gc as cycles
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

import click

from assay.cli.examples import shown
from assay.declare.exits import allow_guard
from assay.errors import AssayError, remedy
from assay.signals import end_now, end_when_deaf, hearing, is_left_behind
from assay.text import clean

# The help text of each verb. It is here too, so that `products --help` loads no verb's module.
VERBS = {
    "approvals": (
        "List what awaits approval, since when and whose, and the approvals: given, void and used."
    ),
    "approve": "Agree that a version of a product is published, of one that asks for approval.",
    "catalog": "Copy the catalog to another database.",
    "check": "Check that code, rules and contracts fit together, without any data.",
    "describe": "Describe a product or source: purpose, columns and their meaning, rules, who uses it.",
    "diff": (
        "Show what differs between two versions of products: rows, totals, and who is affected."
    ),
    "docs": "Write pages about all products, for people who run no commands.",
    "env": "Create, list and drop environments: to try a change beside what readers see.",
    "evidence": (
        "Write all that is known about a published version into one archive, or check one."
    ),
    "freshness": "Show which promises are kept, due, at risk, late or missed, and why.",
    "gc": "Remove old versions and unused files, and merge small files.",
    "history": "List the versions of a product: how each was checked, and when it was published.",
    "incidents": "List what is wrong: since when, who is affected, who was told, and what to do.",
    "init": "Create a small example project.",
    "lineage": "Show what a product, source or column depends on, and what depends on it.",
    "ls": "List products and sources: what each is for, and who owns it.",
    "materialize": (
        "Build what is stale, check it, and publish what passes. NAMES are selectors, as after -s."
    ),
    "notify": (
        "Deliver now what is still to be told, or, with --test, try the routes of the settings."
    ),
    "plan": "Show what `materialize` would do, and why. Changes nothing.",
    "promote": (
        "Publish in its parent what an environment publishes: the very versions that were judged."
    ),
    "query": "Run an SQL query on the published products. It cannot read or write anything else.",
    "retire": "Unpublish products that are no longer declared; `restore` brings one back.",
    "restore": "Publish an earlier version of a product, or all of an earlier release, and pin it.",
    "retry": (
        "Build again what failed or was left in the last run, and what was held because of it."
    ),
    "run": "Watch the project: build what is due, again and again, until it is stopped.",
    "runs": "List the last runs: when each was, how it came out, and how long it took.",
    "serve": "Serve pages about all products: is each right and on time, and who decides from it.",
    "show": "Show the first rows of a published product, or of a source, without sensitive values.",
    "status": "Show which version of each product is published, and whether it is up to date.",
    "suggest": "Suggest a contract for a source or a published product, as pandera code to paste.",
    "record": "Show how products kept their promises, and what was held back, waived and restated.",
    "test": "Run the tests of products on the small inputs that they give; --generate writes one.",
    "verify": "Check the catalog and all stored files for damage.",
    "waive": "Let through what fails a rule of a product, with a reason, until a day.",
    "waivers": (
        "List the waivers: what each lets through, until when, why, and whether it was used."
    ),
    "watch": "Print what runs do, line by line, as it is recorded. Changes nothing.",
    "why": "Explain what happens next to a product, step by step, and what would change that.",
}


_COMPLETION = "_PRODUCTS_COMPLETE"  # set when a shell asks what completes a word

# Commands of other tools, with the verb that does the same.
_COMMANDS_ELSEWHERE = {
    "build": "`products materialize` builds what is stale, checks it, and publishes what passed.",
    "clean": "`products gc` removes versions that need not be kept.",
    "compile": "`products plan` says what would be built, and why.",
    "list": "`products ls` lists the products.",
}


def verb_of(name: str) -> click.Command:
    """Return the command of a verb; its module is imported now."""
    verb: click.Command = import_module(f"assay.cli.verbs.{name}").verb
    return verb


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = verb_of(cmd_name)
        if _COMPLETION in os.environ:
            from assay.cli.completion import completed

            completed(command)
        command.epilog = command.epilog or shown(cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help":
            if not args[1:]:
                click.echo(ctx.get_help())
                ctx.exit()
            args = [*args[1:], "--help"]
        if hint := _COMMANDS_ELSEWHERE.get(args[0]):
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        if args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches  # slow: as long as all other imports of --help

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
            message = error.format_message()  # may quote control characters that the user typed
            safe = clean(message, keep_lines=True)
            if message == safe:
                raise
            raise click.UsageError(safe, error.ctx) from None
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            file = f": {error.filename}" if error.filename else ""
            return _fail(ctx, f"{error.strerror or error}{file}", _advice(error))
        except Exception as error:
            if hint := remedy(error):
                return _fail(ctx, str(error).partition("\n")[0] or type(error).__name__, hint)
            raise


def _advice(error: OSError) -> str:
    """Return what to do about a file that cannot be read or written."""
    path = str(error.filename or "the folder")
    match error:
        case PermissionError():
            return f"Who runs this needs the right to it: `ls -ld {quote(path)}` shows who has it."
        case FileNotFoundError():
            return f"Create the folder {Path(path).parent} first, or name another place."
        case IsADirectoryError() | NotADirectoryError():
            return "Name a file in a folder that exists."
    return remedy(error)


def _fail(ctx: click.Context, message: str, hint: str) -> NoReturn:
    """Print a message and a hint, and exit with code 1."""
    click.echo(clean(message) + (f"\n  {hint}" if hint else ""), err=True)
    ctx.exit(1)


def run() -> None:
    """Run the command line, then end the process.

    The interpreter is not shut down in full: that takes as long as a small command, and DuckDB's
    binding complains about objects that Polars still holds. Garbage collection is off, because a
    large project is hundreds of thousands of values without cycles; `execute` turns it on for a
    run.
    """
    cycles.disable()
    _reserve_output()  # first: a file opened earlier could get the descriptor of a closed stream
    end_when_deaf()
    allow_guard()
    code = 1
    try:
        main(prog_name="products")
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    if not is_left_behind():
        atexit._run_exitfuncs()
    end_now(_flush_all(code))


def _flush_all(code: int) -> int:
    """Flush the standard streams; return the exit code, which is not 0 if output was lost."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader has closed the pipe, which is no error
    except OSError as error:
        if not code:
            message = f"what there is to say could not be written: {error.strerror}"
            click.echo(message, err=True)
        code = code or 1
    # Users' code may have printed to Python's own standard output.
    for stream in (sys.__stdout__, sys.stderr):
        with suppress(OSError, ValueError):
            if stream:
                stream.flush()
    return code


def _reserve_output() -> None:
    """Reserve standard output for this command; other writers to descriptor 1 go to stderr.

    Libraries and subprocesses of users' code may write to descriptor 1. Closed standard streams
    are opened to the null device: otherwise the next file opened would get a stream's descriptor.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # A new descriptor is the lowest free one: that of this stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    stdout, copy = sys.stdout, os.dup(1)
    os.dup2(2, 1)
    buffering = 1 if stdout.isatty() else -1
    sys.stdout = open(copy, "w", buffering, stdout.encoding, stdout.errors)  # noqa: PTH123, SIM115


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="assay")
def main() -> None:
    """Build data products, check them, and publish only what passed."""

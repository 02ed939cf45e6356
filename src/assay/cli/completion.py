"""What the shell completes: products, sources, rules, environments and versions of this project."""

import os
from collections.abc import Callable, Iterator
from shlex import quote

import click
from click.shell_completion import CompletionItem

from assay.build.workspace import Workspace, open_workspace
from assay.catalog.known import known_environments
from assay.facts import short
from assay.views.words.numbers import day

VARIABLE = "_PRODUCTS_COMPLETE"  # set by the script of the shell, to the shell and what it asks for
_SOURCES = {"describe", "lineage", "show", "suggest"}  # verbs that also take a source
_VERSIONS = 20  # of a product, the newest

_Complete = Callable[[Workspace, click.Context], Iterator[CompletionItem]]


def completed(command: click.Command) -> click.Command:
    """Return a command whose parameters complete names of the project."""
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        completed(inner)
    for parameter in command.params:
        if kind := _KINDS.get(parameter.opts[0]):
            vars(parameter)["shell_complete"] = _completing(kind)
    return command


def _completing(kind: _Complete) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what begins as it is typed; nothing where there is no project, or it has mistakes."""
        try:
            with open_workspace(None, None, last_good=True, needs_catalog=False) as workspace:
                items = list(kind(workspace, context))
        except Exception:  # the shell must show no traceback instead of names
            return []
        return [
            CompletionItem(_typed(item.value), help=item.help)
            for item in items
            if _begins(item.value, incomplete)
        ]

    return complete


def _begins(value: str, incomplete: str) -> bool:
    """Return whether a name, with or without its domain, begins as it is typed."""
    typed = incomplete.lstrip("+")
    return value.startswith(typed) or value.partition(".")[2].startswith(typed or "\0")


def _typed(value: str) -> str:
    """Return a value as it is typed: bash inserts it as it is, other shells quote it themselves."""
    return quote(value) if os.environ.get(VARIABLE, "").startswith("bash") else value


def _products(workspace: Workspace, context: click.Context) -> Iterator[CompletionItem]:
    if context.parent and context.parent.info_name == "env":
        if context.info_name == "drop":
            yield from _environments(workspace, context)
        return
    graph = workspace.graph
    for name in graph.order:
        yield CompletionItem(name, help=graph.products[name].purpose)
    if context.info_name in _SOURCES:
        for name, source in graph.sources.items():
            yield CompletionItem(name, help=f"source, {source.pattern}")


def _name(workspace: Workspace, context: click.Context) -> str:
    """Return the product that is typed before; '' for none."""
    given = [context.params.get(name) for name in ("name", "names", "words")]
    # With an option before it that has no value yet, click leaves the name among the other words.
    words = [word for word in context.args if not word.startswith("-")]
    first = next((each for each in [*given, *words] if each), "")
    return workspace.graph.resolve(first if isinstance(first, str) else first[0])


def _rules(workspace: Workspace, context: click.Context) -> Iterator[CompletionItem]:
    for rule in workspace.graph.products[_name(workspace, context)].contract.rules:
        yield CompletionItem(rule.text, help=rule.because)


def _versions(workspace: Workspace, context: click.Context) -> Iterator[CompletionItem]:
    for version in workspace.catalog.versions(_name(workspace, context), _VERSIONS):
        yield CompletionItem(short(version.id), help=f"built {day(version.built_at)}")


def _products_then_versions(
    workspace: Workspace, context: click.Context
) -> Iterator[CompletionItem]:
    return (_versions if context.params.get("words") else _products)(workspace, context)


def _environments(workspace: Workspace, context: click.Context) -> Iterator[CompletionItem]:
    for name in known_environments(workspace.catalog, workspace.config):
        yield CompletionItem(name)


_KINDS: dict[str, _Complete] = {
    "name": _products,
    "names": _products,
    "words": _products_then_versions,
    "-s": _products,
    "--exclude": _products,
    "--restate": _products,
    "--generate": _products,
    "--rule": _rules,
    "--failures": _rules,
    "version": _versions,
    "--version": _versions,
    "--before": _versions,
    "--after": _versions,
    "--env": _environments,
    "--from": _environments,
}

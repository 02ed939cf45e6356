"""Runs the project's own policies: functions over the graph, named in `[tool.products.policy]`."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from msgspec.structs import asdict

from assay.config import FILE, Config
from assay.declare.argument_types import is_text
from assay.declare.exits import guard
from assay.declare.finder import MARK, is_below
from assay.declare.imports import Local, failure
from assay.errors import DeclarationError, Problem
from assay.model import Where
from assay.plan.graph import Graph
from assay.plan.names import nearest
from assay.plan.policies import Broken
from assay.policies import Finding

_EXAMPLE = 'Yield findings: Finding(product.name, "what is wrong").'


class _Unusable(Exception):
    """A policy that cannot be used, and the problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def run_own_policies(config: Config, graph: Graph) -> list[Broken]:
    """Return what the project's own policies find in a graph.

    Raises DeclarationError with every policy that does not exist, fails, or returns anything else.
    """
    guard()
    found: list[Broken] = []
    problems: list[Problem] = []
    unchangeable = _unchangeable(graph)
    with Local(config).importing():
        for policy in config.policy.own:
            try:
                function = _function(policy, config)
                findings = _found_by(function, policy, unchangeable, config)
                found += [Broken(policy=policy, finding=finding) for finding in findings]
            except _Unusable as error:
                problems.append(error.problem)
    if problems:
        raise DeclarationError(problems)
    return found


def _unchangeable(graph: Graph) -> Graph:
    """Return a graph that users' code cannot change."""
    products, sources = MappingProxyType(graph.products), MappingProxyType(graph.sources)
    copied = Graph(products, sources, MappingProxyType(graph.calendars))
    copied.keep_order(graph.order)
    return copied


def _function(policy: str, config: Config) -> Callable[[Graph], Any]:
    """Import the function of a policy."""
    name, _, label = policy.partition(":")
    module = _module(name, policy, config)
    file = str(getattr(module, "__file__", None) or "")
    if not hasattr(module, label):
        functions = [text for text, value in vars(module).items() if callable(value)]
        hint = nearest(label, functions) or f"Declare it there: def {label}(graph): ..."
        raise _problem(f"the policy {policy} does not exist", _inside(file, config), hint)
    function = getattr(module, label)
    if not callable(function):
        what = f"the policy {policy} is {type(function).__name__}, and not a function"
        raise _problem(what, _inside(file, config), f"def {label}(graph): ...")
    return function  # type: ignore[no-any-return]  # the user's own


def _module(name: str, policy: str, config: Config) -> ModuleType:
    _forget(name, config)
    try:
        return importlib.import_module(name)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        where = _in_settings(policy, config)
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            modules = [file.stem for file in config.root.glob("*.py")]
            hint = nearest(name, modules) or f"Write its function in {name.replace('.', '/')}.py."
            raise _problem(
                f"the policy {policy} does not exist: there is no module {name!r}", where, hint
            ) from None
        raise _Unusable(failure(error, f"{name} cannot be imported", where, config.root)) from None


def _forget(name: str, config: Config) -> None:
    """Let a module be imported anew, and those of other projects that this process imported."""
    root, definitions = str(config.root), Path(config.definitions).parts[0]
    for loaded, module in list(sys.modules.items()):
        if type(module) is not ModuleType or not vars(module).get(MARK, False):
            continue
        is_own = is_below(root, str(getattr(module, "__file__", None) or ""))
        is_declaring = loaded.partition(".")[0] == definitions
        if not is_own or (loaded == name and not is_declaring):
            del sys.modules[loaded]


def _found_by(
    function: Callable[[Graph], Any], policy: str, graph: Graph, config: Config
) -> Sequence[Finding]:
    """Call a policy, and return its findings."""
    where = _place(function, policy, config)
    try:
        returned = function(graph)
        findings = list(returned) if isinstance(returned, Iterable) else None
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise _Unusable(failure(error, f"the policy {policy} failed", where, config.root)) from None
    if findings is None:
        what = f"the policy {policy} returns {type(returned).__name__}, and no findings"
        raise _problem(what, where, _EXAMPLE)
    for finding in findings:
        for what, hint in _mistakes(finding, graph):
            raise _problem(f"the policy {policy} {what}", where, hint)
    return findings


def _mistakes(finding: Any, graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a finding, and what to do."""
    if type(finding) is not Finding:
        yield f"finds a {type(finding).__name__}, and no Finding", _EXAMPLE
        return
    for label, text in asdict(finding).items():
        if not is_text(text):
            yield f"gives {label}= of type {type(text).__name__}, which should be a text", _EXAMPLE
            return
    if finding.severity not in ("error", "warning"):
        yield f"gives severity={finding.severity[:40]!r}", "It is 'error' or 'warning'."
    if finding.name not in graph.products and finding.name not in graph.sources:
        names = [*graph.products, *graph.sources]
        hint = nearest(finding.name, names) or "Give the full name of a product or source."
        yield f"is about {finding.name[:100]!r}, which is not declared", hint


def _place(function: Any, policy: str, config: Config) -> Where:
    """Return where a function of the project begins; else where the settings name it."""
    code = getattr(function, "__code__", None)
    file = _inside(str(getattr(code, "co_filename", "")), config)
    return (
        Where(file.file, code.co_firstlineno)
        if code and file.file
        else _in_settings(policy, config)
    )


def _inside(file: str, config: Config) -> Where:
    path = Path(file)
    return Where(str(path.relative_to(config.root)) if path.is_relative_to(config.root) else file)


def _in_settings(policy: str, config: Config) -> Where:
    lines = (config.root / FILE).read_text(encoding="utf-8").splitlines()
    return Where(FILE, next((n for n, line in enumerate(lines, 1) if f"{policy}" in line), 0))


def _problem(what: str, where: Where, hint: str) -> _Unusable:
    return _Unusable(Problem(what=what, where=where, hint=hint))

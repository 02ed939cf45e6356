"""How the budgets of products stand, by what is recorded, and what nobody may do when one is spent."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from assay.approvals import is_same_person
from assay.budgets import Counted
from assay.build.workspace import Workspace
from assay.catalog.record import RecordReads
from assay.config import Config
from assay.errors import UsageError
from assay.model import Product
from assay.plan.budgets import Measure, Use, measures_of, severity_of
from assay.plan.causes import Kind
from assay.plan.restatements import Restatement


def uses_of(workspace: Workspace, names: Collection[str] | None = None) -> Mapping[str, Use]:
    """Return what is used of the budgets of products (of all), by name; those without have none."""
    graph, now = workspace.graph, workspace.clock()
    if not graph.has_budgets:
        return {}
    uses: dict[str, Use] = {}
    for measure, budgets in measures_of(graph).items():
        wanted = budgets.keys() if names is None else budgets.keys() & set(names)
        if not wanted:
            continue
        since, until = next(iter(budgets.values())).period(now, measure.tz)
        only = next(iter(wanted)) if len(wanted) == 1 else ""
        used = _used(workspace, measure, since, until, only)
        uses |= {
            name: Use(
                product=name,
                budget=budgets[name],
                used=used.get(name, 0),
                since=since,
                until=until,
            )
            for name in wanted
        }
    return uses


def _used(
    workspace: Workspace, measure: Measure, since: datetime, until: datetime, only: str
) -> Mapping[str, int]:
    """Return how often in a period what a budget counts happened, by name."""
    reads = RecordReads(workspace.catalog, workspace.environment, only)
    if measure.counted is Counted.HELD_BACK:
        return {
            name: sum(
                Kind.HELD_BACK in each.kinds and since <= each.began < until for each in happened
            )
            for name, happened in reads.happened(since).items()
        }
    counts = reads.promises(since, until)
    if measure.counted is Counted.MISSED:
        return {name: count.missed for name, count in counts.items()}
    return {name: count.missed + count.late for name, count in counts.items()}


def needs_approval(workspace: Workspace, name: str) -> tuple[str, str]:
    """Return what follows from the budget of a product ("error", "warning", "off"), and why."""
    use = uses_of(workspace, [name]).get(name)
    if use is None or not use.is_spent:
        return "off", ""
    severity = severity_of(workspace.graph, workspace.config.policy, name)
    return severity, f"the budget of {name} is spent: {use}"


def check_budgets(
    workspace: Workspace, names: Iterable[str], restatement: Restatement
) -> Sequence[str]:
    """Return what to note of restating products whose budget is spent.

    Raises UsageError, for all of them, where nobody approved it who has to.
    """
    graph, problems, notes = workspace.graph, list[str](), list[str]()
    for name in map(graph.resolve, names):
        severity, spent = needs_approval(workspace, name)
        people = Approving(workspace.config, graph.products[name], restatement.who)
        problem = people.problem_with(restatement.approved_by)
        if severity == "error" and problem:
            problems.append(f"{name} is not restated: {spent}, and {problem}")
        elif severity == "warning":
            notes.append(spent)
    if problems:
        raise UsageError("\n  ".join(problems))
    return notes


class Approving(Struct, frozen=True):
    """Who may approve what a person asks for: of the list in the settings, else of the product.

    Without either, anybody else may.
    """

    config: Config
    product: Product
    author: str

    def problem_with(self, approver: str) -> str:
        """Return why somebody cannot approve; '' if they can."""
        people = self.config.waiver_approvers or self.product.approvers
        choice = f": one of {', '.join(people)}" if people else ": who else agrees to it"
        if not approver:
            return f"--approved-by is needed{choice}"
        if people and approver not in people:
            return f"{approver} may not approve{choice}"
        if is_same_person(approver, self.author):
            return f"{approver} cannot approve what they ask for themselves"
        return ""

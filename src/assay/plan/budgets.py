"""How much of each budget is used in the current period, and what follows when nothing is left."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from assay.budgets import Budget, Counted, budget_of
from assay.plan.graph import Graph
from assay.plan.policies import in_force
from assay.policies import Policies

BUDGET = "budget"  # the policy that says what follows


class Use(Struct, frozen=True, kw_only=True):
    """What is used of the budget of a product, from `since` and before `until`."""

    product: str
    budget: Budget
    used: int
    since: datetime
    until: datetime

    @property
    def is_spent(self) -> bool:
        """Whether nothing of it is left."""
        return self.budget.is_spent(self.used)

    def __str__(self) -> str:
        return self.budget.in_words(self.used)


class Measure(Struct, frozen=True):
    """What budgets are counted by: everything with the same measure is counted at once."""

    counted: Counted
    per: str
    tz: str


def measures_of(graph: Graph) -> Mapping[Measure, Mapping[str, Budget]]:
    """Return the budgets of products by what they count."""
    budgets = {
        text: budget_of(text) for text in {p.budget for p in graph.products.values() if p.budget}
    }
    found: dict[Measure, dict[str, Budget]] = {}
    for name, product in graph.products.items():
        if budget := budgets.get(product.budget):
            zone = zone_of(graph, name)
            found.setdefault(Measure(budget.counted, budget.per, zone), {})[name] = budget
    return found


def zone_of(graph: Graph, name: str) -> str:
    """Return the time zone of a product: that of its promise, or UTC."""
    freshness = graph.products[name].freshness
    return freshness.tz if freshness else "UTC"


def severity_of(graph: Graph, policies: Policies, name: str) -> str:
    """Return what follows when the budget of a product is spent: "error", "warning" or "off".

    Raises UsageError for a selector of the policies that names nothing.
    """
    tables = [policies, *(table for _, table in policies.tables)]
    if not any(BUDGET in table.severities for table in tables):
        return "off"
    return in_force(graph, policies)[name].severities.get(BUDGET, "off")

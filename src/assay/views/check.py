"""What `products check` found, as frozen values: a finding for each thing to look at."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from assay.build.policies import broken_policies
from assay.build.workspace import Workspace
from assay.declare.places import SqlPlaces
from assay.model import Product
from assay.plan.graph import Graph
from assay.plan.misfits import Degree, Misfit
from assay.plan.policies import Broken
from assay.views.column_lineage import bound_around
from assay.views.view import View


class Level(StrEnum):
    """How much a finding matters: an error makes the check fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_LEVELS = {
    Degree.WRONG: Level.ERROR,
    Degree.DOUBTFUL: Level.WARNING,
    Degree.UNCHECKED: Level.NOTE,
}


class FindingKind(StrEnum):
    """What was found.

    - `declaration`: a mistake in the declarations: nothing could be checked.
    - `does not fit`: code or a rule of a product does not fit its inputs, or its own contract.
    - `unchecked`: a product that cannot be checked without data, and why.
    - `breaking`: a promise to readers became weaker, or a demand on inputs stronger.
    - `loosened`: a rule or tolerance lets more through than before.
    - `compatible`: a change that breaks nothing.
    - `logic`: the logic changed while nothing that describes it did, or the other way round.
    - `numbers`: what a change did to the published data.
    - `policy`: a policy of the project is not kept.
    """

    DECLARATION = "declaration"
    DOES_NOT_FIT = "does not fit"
    UNCHECKED = "unchecked"
    BREAKING = "breaking"
    LOOSENED = "loosened"
    COMPATIBLE = "compatible"
    LOGIC = "logic"
    NUMBERS = "numbers"
    POLICY = "policy"


class DetailView(View, frozen=True, kw_only=True):
    """More about a finding: `label` is one word, such as "affects" or "needs"."""

    label: str
    text: str


class FindingView(View, frozen=True, kw_only=True):
    """One thing that the check found.

    - `name`: the product or source; `of`: its column or the name of its rule, '' for neither.
    - `file`, `line`, `column`: the place, relative to the project; 0 where not known. Lines and
      columns count from 1. The place of something removed is the one that it had, and `removed`.
    """

    kind: FindingKind
    level: Level
    name: str
    of: str = ""
    what: str
    file: str = ""
    line: int = 0
    column: int = 0
    removed: bool = False
    details: tuple[DetailView, ...] = ()

    @property
    def place(self) -> str:
        """The place as editors read it: file:line:column, as far as it is known."""
        numbers = [n for n in (self.line, self.column) if n]
        return ":".join(map(str, [self.file, *numbers])) if self.file else ""

    @property
    def is_unchecked(self) -> bool:
        """Whether it only notes that something cannot be checked without data."""
        return self.kind is FindingKind.UNCHECKED and self.level is Level.NOTE


class CheckView(View, frozen=True, kw_only=True):
    """The findings, most important first; `checked` is how many products were looked at.

    `against` is what the project was compared with; '' for nothing.
    """

    checked: int
    against: str = ""
    findings: tuple[FindingView, ...] = ()

    @property
    def failed(self) -> bool:
        """Return whether a finding is an error."""
        return any(finding.level is Level.ERROR for finding in self.findings)


def check(workspace: Workspace, names: Sequence[str]) -> CheckView:
    """Check these products without their data: whether code, rules and contracts fit together."""
    bound = bound_around(workspace, names, rules=True)
    places = SqlPlaces(workspace.config.root)
    products = workspace.graph.products
    findings = [
        _finding(misfit, places, products[misfit.product].dialect) for misfit in bound.misfits
    ]
    if workspace.lacks_catalog and bound.asked_published:
        findings.append(_without_catalog(workspace))
    findings += _of_frozen_columns(workspace, names)
    findings += [_of_policy(each, workspace.graph) for each in broken_policies(workspace, names)]
    return CheckView(checked=len(names), findings=tuple(ordered(findings)))


def ordered(findings: Iterable[FindingView]) -> list[FindingView]:
    """Return findings with errors first, then by kind and place."""
    levels, kinds = list(Level), list(FindingKind)
    return sorted(
        findings,
        key=lambda f: (levels.index(f.level), kinds.index(f.kind), f.file, f.line, f.column),
    )


def _finding(misfit: Misfit, places: SqlPlaces, dialect: str) -> FindingView:
    place = places.place_of(misfit.where, misfit.sql, misfit.offset, dialect)
    is_elsewhere = place.line_of_text and not misfit.of
    kind = f"query as translated from {dialect}" if dialect else "query"
    query = f" (line {place.line_of_text} of its {kind})" if is_elsewhere else ""
    is_unchecked = misfit.degree is Degree.UNCHECKED
    return FindingView(
        kind=FindingKind.UNCHECKED if is_unchecked else FindingKind.DOES_NOT_FIT,
        level=_LEVELS[misfit.degree],
        name=misfit.product,
        of=misfit.of,
        what=f"{misfit.what}{query}",
        file=place.file,
        line=place.line,
        column=place.column,
    )


def _of_frozen_columns(workspace: Workspace, names: Sequence[str]) -> Iterator[FindingView]:
    """Yield how files differ from the types of columns that are frozen of their sources."""
    graph = workspace.graph
    read = {read for name in names for read in graph.products[name].reads}
    for source in graph.sources.values():
        if not source.is_frozen or source.name not in read:
            continue
        from assay.declare.as_stored import differences  # most projects freeze nothing

        for what, is_fault in differences(workspace.config, source):
            yield FindingView(
                kind=FindingKind.DOES_NOT_FIT,
                level=Level.ERROR if is_fault else Level.WARNING,
                name=source.name.removesuffix("__files"),
                what=what,
                file=source.where.file,
                line=source.where.line,
            )


def _without_catalog(workspace: Workspace) -> FindingView:
    return FindingView(
        kind=FindingKind.UNCHECKED,
        level=Level.NOTE,
        name=workspace.environment,
        what=f"the columns of published versions are not known: {workspace.lacks_catalog}",
    )


def _of_policy(broken: Broken, graph: Graph) -> FindingView:
    """Return the finding of a policy that is not kept, where the rule or the product is declared."""
    finding = broken.finding
    declared = graph.products.get(finding.name) or graph.sources[finding.name]
    rules = declared.contract.rules if isinstance(declared, Product) else ()
    of_rule = next((rule.where for rule in rules if rule.text == finding.of), declared.where)
    where = broken.where or of_rule
    needs = [DetailView(label="needs", text=finding.needs)] if finding.needs else []
    return FindingView(
        kind=FindingKind.POLICY,
        level=Level(finding.severity),
        name=finding.name,
        of=finding.of,
        what=finding.what,
        file=where.file,
        line=where.line,
        details=(DetailView(label="policy", text=broken.policy), *needs),
    )

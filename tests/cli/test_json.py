"""The JSON of every verb has exactly the fields that docs/json.md lists, of the types that it says."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
import pytest
from msgspec import Struct, field
from msgspec.structs import fields

from assay.archive.again import Rebuilt
from assay.archive.check import Checked
from assay.archive.write import Written
from assay.build.compact import Compacted
from assay.cli.main import VERBS, verb_of
from assay.testing.results import CaseView, ChangedRowView, GeneratedView
from assay.upkeep.findings import Finding
from assay.views import results
from assay.views.about import AboutView, DeprecatedColumn
from assay.views.activity import HappenedView
from assay.views.approvals import ApprovalsView, ApprovalView, AwaitingApprovalView
from assay.views.check import CheckView, DetailView, FindingView
from assay.views.column_lineage import (
    ColumnEndView,
    ColumnLineageView,
    FlowView,
    UnknownView,
)
from assay.views.diff_views import DiffView, EffectView, RowView, RuleMoveView, SideView
from assay.views.environments import EnvironmentView
from assay.views.figures import FiguresView, TotalView
from assay.views.files import CopyView, FileView, SourceView
from assay.views.freshness import CauseView, FreshnessView
from assay.views.history import HistoryView
from assay.views.incidents import IncidentView, ToldView
from assay.views.query_text import QueryView
from assay.views.record import BudgetView, RecordView
from assay.views.results import ResultKind
from assay.views.rules import RuleHistoryView, RuleWay
from assay.views.runs import RunView
from assay.views.sources import ListingView, SourceAboutView, SourceStatusView
from assay.views.status import StatusView
from assay.views.waivers import WaiverView
from assay.views.why import ExplanationView
from assay.views.why_part import PartExplanationView
from tests.cli.json_project import Outputs, record
from tests.conftest import ROOT, Place

DOCUMENT = (ROOT / "docs/json.md").read_text()
KINDS = {str(kind) for kind in ResultKind}


class Field(Struct, frozen=True):
    """A row of a table: `results` are those that have it ("always": None), `sometimes` if under a condition."""

    type: str
    results: frozenset[str] | None
    sometimes: bool


class Section(Struct):
    """What the document says under a heading: a table, and the tables that it includes."""

    table: dict[str, Field] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)
    examples: list[Any] = field(default_factory=list)


def row_of(present: str, type: str) -> Field:
    names, _, condition = present.partition(": if ")
    if present == "always" or present.startswith("if "):
        return Field(type, None, present != "always")
    kinds = frozenset(names.split(", "))
    assert kinds <= KINDS, f"{present!r} names no results"
    return Field(type, kinds, bool(condition))


def read_document() -> dict[str, Section]:
    """Return the sections under headings such as ### `why --part`."""
    found: dict[str, Section] = {}
    for text in re.split(r"^(?=###? )", DOCUMENT, flags=re.M):
        heading = re.match(r"### `([^`]+)`\n", text)
        if heading is None:
            assert "| field |" not in text, text[:80]
            continue
        section = found[heading[1]] = Section()
        section.includes = re.findall(r"fields of \[`([^`]+)`\]", text)
        section.examples = [
            json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S)
        ]
        for row in re.findall(r"^\| `.*\|$", text, re.M):
            name, type, _, present, meaning = (cell.strip() for cell in row.strip("|").split("|"))
            assert meaning, row
            section.table[name.strip("`")] = row_of(present, type)
    return found


SECTIONS = read_document()


def fields_of(name: str) -> dict[str, Field]:
    """Return all fields of a section: its own, and, where it has no field of the name, those that it includes."""
    section = SECTIONS[name]
    rows = {}
    for included in section.includes:
        rows |= fields_of(included)
    return rows | section.table


class Check:
    """Compares values with the document, and collects which of its fields occurred."""

    def __init__(self) -> None:
        self.occurred: set[tuple[str, str]] = set()

    def section(self, name: str, value: Any) -> None:
        for item in value if isinstance(value, list) else [value]:
            self.object(name, item)

    def object(self, name: str, value: dict[str, Any]) -> None:
        table = fields_of(name)
        assert value.keys() <= table.keys(), f"{name}: {value.keys() - table.keys()}"
        kind = value.get("result", "")
        for key, row in table.items():
            applies = row.results is None or kind in row.results
            if key in value:
                assert applies, f"{name}: a result {kind!r} has the field {key}"
                self.occurred.add((self.owner(name, key), key))
                self.type(row.type, value[key], f"{name}.{key}")
            else:
                assert row.sometimes or not applies, f"{name}: {kind} lacks {key}"

    def owner(self, name: str, key: str) -> str:
        """Return the section that describes a field."""
        if key in SECTIONS[name].table:
            return name
        return next(i for i in SECTIONS[name].includes if key in fields_of(i))

    def type(self, type: str, value: Any, place: str) -> None:
        if type.endswith(" or null"):
            return None if value is None else self.type(type.removesuffix(" or null"), value, place)
        if inner := re.fullmatch(r"list of (.*)", type):
            assert isinstance(value, list), place
            for item in value:
                self.type(inner[1], item, place)
        elif inner := re.fullmatch(r"map of (.*)", type):
            assert isinstance(value, dict), place
            for item in value.values():
                self.type(inner[1], item, place)
        elif link := re.fullmatch(r"\[(.*)\]\(#(.*)\)", type):
            assert link[1].replace(" ", "-") == link[2], place
            self.object(link[1], value)
        else:
            assert PLAIN[type](value), f"{place} is {value!r}, and no {type}"
        return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PLAIN: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": is_number,
    "boolean": lambda value: isinstance(value, bool),
    "time": lambda value: "T" in value and bool(datetime.fromisoformat(value)),
    "any": lambda value: not isinstance(value, list | dict),
}
# What a small project does not make happen; that these fields are right is held by `test_the_tables_are_those_of_the_values`.
RARE = (
    {
        ("evidence", "signature"),
        ("evidence --verify", "problems"),
        ("evidence --verify", "contents"),
    }
    | {("evidence --verify", "signed_by"), ("evidence --rebuild", "why")}
    | {("evidence --rebuild", "notes"), ("evidence --rebuild", "diff")}
    | {("decision", name) for name in ("run", "host", "pid", "since", "because")}
    | {("end", "spilled_bytes"), ("run", "about")}
    | {("compacted", f.name) for f in fields(Compacted)}
    | {("diff", name) for name in ("columns_added", "columns_removed", "columns_retyped", "notes")}
    | {("decision", "waived"), ("rule", "waived"), ("decision", "void"), ("release", "approved")}
    | {("diff", "groups"), ("differing row", "copies"), ("effect", "why")}
    | {("check", "against"), ("found problem", "of"), ("found problem", "removed")}
    | {("found problem", "column"), ("found problem", "details")}
    | {("problem detail", f.name) for f in fields(DetailView)}
    | {("deprecated column", f.name) for f in fields(DeprecatedColumn)}
    | {("late", f.name) for f in fields(results.LateView)}
    | {("waiting", f.name) for f in fields(results.WaitingView)}
    | {("waiting files", "why"), ("waiting files", "files")}  # depends on when readers come
)
# Sections whose values are rows of the user's.
ROWS = {"query", "show"}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    place = Place(tmp_path_factory.mktemp("json"))
    place.write("pyproject.toml", "[tool.products]\n")
    return record(place)


@pytest.mark.long
def test_every_field_of_every_verb_is_documented(outputs: Outputs) -> None:
    check = Check()
    for section, value in outputs:
        if section in ROWS:
            assert all(isinstance(row, dict) for row in value)
        elif section == "ls":
            for item in value:
                name = "ls" if "kind" in item else "ls: no longer declared"
                check.object("ls: a source" if item.get("kind") == "source" else name, item)
        elif section == "status":
            for item in value:
                check.object("status: a source" if "kind" in item else "status", item)
        else:
            check.section(section, value)
    documented = {(name, key) for name, section in SECTIONS.items() for key in section.table}
    assert documented - check.occurred <= RARE
    of_lists = {"ls: no longer declared", "ls: a source", "status: a source"}
    assert {name for name, _ in outputs} | of_lists >= {
        name for name in SECTIONS if name in ROWS or name.partition(" ")[0].strip(":") in VERBS
    }


@pytest.mark.long
def test_every_result_is_documented(outputs: Outputs) -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", DOCUMENT, re.M))
    assert listed == KINDS
    occurred = {value["result"] for name, value in outputs if name in {"result", "retrying"}}
    occurred |= {
        item["result"]
        for name, value in outputs
        if name in {"plan", "status"}
        for item in value
        if "result" in item
    }
    assert occurred == KINDS - {"busy", "late", "waiting"}


def test_every_verb_with_json_is_documented() -> None:
    headings = set(re.findall(r"^## products (.+)$", DOCUMENT, re.M))
    commands = {name: verb_of(name) for name in VERBS}
    for name, command in list(commands.items()):
        if isinstance(command, click.Group):
            del commands[name]
            commands |= {f"{name} {below}": one for below, one in command.commands.items()}
    assert headings == commands.keys()
    for name, command in commands.items():
        assert any("--json" in parameter.opts for parameter in command.params), name


@pytest.mark.parametrize("name", [n for n, section in SECTIONS.items() if section.examples])
def test_examples_have_the_documented_fields(name: str) -> None:
    check = Check()
    for example in SECTIONS[name].examples:
        if name not in ROWS:
            check.section(name, example)


def names(view: type[Struct]) -> set[str]:
    """Return the names that fields of a value have in JSON."""
    inline = set(getattr(view, "inline", ()))
    return {f.encode_name for f in fields(view) if f.name not in inline}


DECISIONS = {
    "published": results.PublishedView,
    "unchanged": results.UnchangedView,
    "held back": results.HeldBackView,
    "awaiting approval": results.AwaitingView,
    "held": results.HeldView,
    "failed": results.FailedView,
    "unfinished": results.UnfinishedView,
    "busy": results.BusyView,
    "left": results.LeftView,
    "build": results.BuildView,
    "maybe": results.MaybeView,
    "check": results.CheckView,
}


@pytest.mark.parametrize(("result", "view"), DECISIONS.items())
def test_the_fields_of_a_decision_are_those_of_its_value(result: str, view: type[Struct]) -> None:
    table = fields_of("decision")
    always = {"product", "result", "held_parts", "held_by", "affects", "changes"}
    listed = {key for key, row in table.items() if row.results and result in row.results}
    assert listed | {"affects"} == names(view) | {"affects"}
    assert names(results.PlanView) == always | {"reasons"}
    for f in fields(view):
        row = table[f.encode_name]
        assert f.name == "affects" or row.sometimes is not f.required, f.name


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("rule", results.RuleView),
        ("readers", results.ReadersView),
        ("held part", results.HeldPart),
        ("failed part", results.FailedPart),
        ("parts built", results.PartsBuilt),
        ("parts to build", results.PartsToBuild),
        ("retrying", results.RetryingView),
        ("late", results.LateView),
        ("waiting", results.WaitingView),
        ("end", results.EndView),
        ("status", StatusView),
        ("watch", HappenedView),
        ("freshness", FreshnessView),
        ("cause", CauseView),
        ("why", ExplanationView),
        ("why --part", PartExplanationView),
        ("why --rules", RuleWay),
        ("history", HistoryView),
        ("history --rule", RuleHistoryView),
        ("ls", AboutView),
        ("deprecated column", DeprecatedColumn),
        ("runs", RunView),
        ("lineage: a column", ColumnLineageView),
        ("flow", FlowView),
        ("column end", ColumnEndView),
        ("unknown lineage", UnknownView),
        ("show: a source", SourceView),
        ("ls: a source", SourceAboutView),
        ("status: a source", SourceStatusView),
        ("history: a source", ListingView),
        ("show: a file", FileView),
        ("show --sql", QueryView),
        ("show --to", CopyView),
        ("finding", Finding),
        ("waivers", WaiverView),
        ("approve", ApprovalView),
        ("approvals", ApprovalsView),
        ("awaiting version", AwaitingApprovalView),
        ("env ls", EnvironmentView),
        ("record", RecordView),
        ("used budget", BudgetView),
        ("evidence", Written),
        ("evidence --verify", Checked),
        ("evidence --rebuild", Rebuilt),
        ("diff", DiffView),
        ("compared version", SideView),
        ("compared total", TotalView),
        ("figures", FiguresView),
        ("effect", EffectView),
        ("differing row", RowView),
        ("moved result", RuleMoveView),
        ("check", CheckView),
        ("found problem", FindingView),
        ("problem detail", DetailView),
        ("incidents", IncidentView),
        ("told message", ToldView),
        ("compacted", Compacted),
        ("test", CaseView),
        ("changed row", ChangedRowView),
        ("test --generate", GeneratedView),
    ],
)
def test_the_tables_are_those_of_the_values(name: str, view: type[Struct]) -> None:
    assert list(SECTIONS[name].table.keys()) == [
        f.encode_name for f in fields(view) if f.encode_name in names(view)
    ]


def test_the_fields_of_a_result_are_those_of_its_value() -> None:
    assert names(results.ResultView) == SECTIONS["result"].table.keys() | names(results.PlanView)


def test_what_is_not_documented_is_found() -> None:
    """The control: a field too many, one too few, one of another result, and a wrong type are all refused."""
    [example] = SECTIONS["retrying"].examples
    wrong = (
        {**example, "new": 1},
        {key: value for key, value in example.items() if key != "of"},
        {**example, "number": "1"},
    )
    for value in wrong:
        with pytest.raises(AssertionError):
            Check().object("retrying", value)
    with pytest.raises(AssertionError, match="has the field tries"):
        Check().object("plan", {"product": "p", "result": "left", "tries": 1})

"""The walls of the house: who may import whom, what the pure modules may not touch, what starting up may not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import assay

PACKAGE = Path(assay.__file__).parent

# Each module may import from its own row and from the rows above it.
LAYERS = [
    {"model", "decision", "errors", "periods", "secrecy", "tolerance", "cleaning", "encoding", "veil"},
    {
        "fingerprint",
        "syntax",
        "effects",
        "reach",
        "graph",
        "holding",
        "loopvars",
        "moments",
        "partition",
        "plan",
        "events",
        "overlay",
        "retention",
        "waivers",
    },  # pure: what next
    {
        "accesses",
        "config",
        "exits",
        "interrupts",
        "matching",
        "declare",
        "shapes",
        "permissions",
        "spilling",
        "storage",
        "leases",
        "catalog",
        "engines",
        "story",
    },
    {"rules", "loading", "observe", "packing", "reading"},
    {"clockwords", "handovers", "rulebook", "evidence", "failure"},
    {
        "partitioning",
        "sources",
        "resolve",
        "manifest",
        "bounds",
        "query",
        "lineage",
        "history",
        "explain",
        "start",
        "report",
        "suggest",
    },
    {"declared"},
    {"project"},
    {"messages", "retrying", "supervising", "undeclared", "world", "isolation", "isolated"},
    {
        "findings",
        "footers",
        "building",
        "compaction",
        "judging",
        "orders",
        "inspector",
        "records",
        "running",
        "schedule",
        "execute",
        "restoring",
        "rulings",
        "status",
    },
    {
        "cli",
        "going",
        "options",
        "session",
        "shown",
        "sweeping",
        "rebuilding",
        "repair",
        "tidying",
        "verbs",
        "verify",
        "__init__",
        "__main__",
    },
]
# What nothing to do does not need: imported when there is something.
LATE = {("project", "declared"), ("execute", "running")}
PURE = {
    "cleaning",
    "encoding",
    "model",
    "errors",
    "periods",
    "tolerance",
    "fingerprint",
    "effects",
    "reach",
    "syntax",
    "graph",
    "holding",
    "moments",
    "partition",
    "plan",
    "events",
    "overlay",
    "retention",
    "story",
    "lineage",
    "explain",
}
IMPURE = {"duckdb", "polars", "pandera", "sqlite3", "os", "time", "subprocess", "socket", "click", "rich"}
HEAVY = {"duckdb", "polars", "pandera", "rich", "psycopg", "pyarrow", "pydantic"}
CLOCKS = {"now", "today", "utcnow", "monotonic", "time_ns"}


def modules() -> list[Path]:
    return [f for f in sorted(PACKAGE.rglob("*.py")) if "template" not in f.parts]


def name_of(file: Path) -> str:
    """The row of a file: its package below `assay`, or its own name."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """Every imported module, and whether it is imported when the file is."""
    guarded = {
        id(n) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for n in ast.walk(node)
    }  # fmt: skip
    inside = {id(n) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for n in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(f"{node.module}.{alias.name}", id(node) not in inside) for alias in node.names]
    return found


def row(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def test_every_module_has_a_row() -> None:
    assert {name_of(f) for f in modules()} == set().union(*LAYERS)


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_downwards(file: Path) -> None:
    me = name_of(file)
    tree = ast.parse(file.read_text())
    for imported, at_top in imports(tree):
        top, _, rest = imported.partition(".")
        if top == "assay":
            other = rest.partition(".")[0] if rest else "__init__"
            other = other if other in set().union(*LAYERS) else "__init__"
            assert at_top or (me, other) in LATE, f"{file}: imports {imported} inside a function"
            assert row(other) <= row(me), f"{file}: {me} may not import {other}"
        elif me in PURE:
            assert top not in IMPURE, f"{file} is pure and imports {top}"
        if top in HEAVY:
            assert not at_top, f"{file}: import {top} where it is used, so that starting up stays fast"
    if me not in {"rules"}:
        assert not any(i.startswith("pandera") for i, _ in imports(tree)), "rules/ is the only importer of pandera"


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_the_clock_is_read_in_few_places(file: Path) -> None:
    calls = [n.func.attr for n in ast.walk(ast.parse(file.read_text()))
             if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in CLOCKS]  # fmt: skip
    assert name_of(file) in {"verbs", "session", "execute", "running", "interrupts"} or not calls


def loaded_by(code: str, cwd: Path) -> set[str]:
    probe = f"import sys\n{code}\nprint('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=cwd, capture_output=True, text=True, check=False)
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


def command(*arguments: str) -> str:
    return f"from assay.cli import main\ntry: main({list(arguments)!r})\nexcept SystemExit: pass"


def test_help_loads_no_engine(tmp_path: Path) -> None:
    assert not loaded_by(command("--help"), tmp_path) & HEAVY
    assert not loaded_by("import assay", tmp_path) & HEAVY


def test_looking_and_doing_nothing_load_no_engine(place) -> None:
    place.write(
        "products/sales.py", '''
        @product(owner="o", contract=pa.DataFrameSchema({"x": pa.Column(int)}))
        def p(numbers): return numbers
        ''', header=True,
    )  # fmt: skip
    assert place.spawn("materialize").code == 0
    for verb in (["status"], ["plan"], ["materialize"], ["ls"], ["why", "p"], ["history", "p"], ["lineage", "p"]):
        assert not loaded_by(command(*verb), place.root) & HEAVY, verb
    place.edit("products/sales.py", "return numbers", "return numbers.head(1)")
    assert loaded_by(command("status"), place.root) & HEAVY, "the control: an edited module is read again"


def test_a_project_of_sql_loads_no_polars(place) -> None:
    place.write(
        "products/sales.py", """
        from assay import rule, source, sql_product

        numbers = source.files("data/*.csv", columns={"x": "bigint"})
        sql_product("p", "from numbers", owner="o", rules=[rule.sql("none is null", "from this where x is null")])
        """,
    )  # fmt: skip
    assert loaded_by(command("materialize"), place.root) & HEAVY == {"duckdb"}
    assert place.query("from p order by x") == [{"x": 1}, {"x": 2}, {"x": 3}]

"""The walls of the house: which package may import which, what pure modules may not touch, what starting may not load."""

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import assay

PACKAGE = Path(assay.__file__).parent

# The packages, top floor first. A module may import from its own package and from those below it.
FLOORS = (
    "cli",
    "watch",
    "web",
    "archive",
    "testing",
    "views",
    "upkeep",
    "build",
    "declare",
    "rules",
    "catalog",
    "engines",
    "store",
    "plan",
    "",
)
# Imported when there is something to do, so that a run with nothing to do stays fast.
LATE = {
    ("declare.project", "declare.reading"),
    ("build.execute", "build.run"),
    ("views.read", "views.notebook"),  # only in a notebook
    ("cli.main", "cli.completion"),  # only when a shell asks
    # Only for projects with promises, or with something wrong.
    ("build.execute", "build.promises"),
    ("catalog.catalog", "catalog.codes"),
    # Only for projects with products that ask for approval.
    ("catalog.catalog", "catalog.approvals"),
    ("catalog.facts", "catalog.approvals"),
    ("catalog.writes", "catalog.approvals"),
    ("plan.ladder", "plan.approvals"),
    ("catalog.catalog", "catalog.environments"),
    ("catalog.catalog", "catalog.incidents"),
    ("cli.verbs.materialize", "build.budgets"),
    ("config", "budgets"),
    ("views.statuses", "build.budgets"),
    # Only where files have columns that are not declared.
    ("views.statuses", "build.appeared"),
    # Only where types of columns are frozen.
    ("views.check", "declare.as_stored"),
    ("catalog.catalog", "catalog.promises"),
    ("cli.opening", "views.promises"),
    # Only where something is held back, or restated.
    ("build.would_change", "build.differences"),
    ("build.would_change", "catalog.differences"),
    ("catalog.facts", "catalog.differences"),
    ("cli.verbs.diff", "views.what_if"),
    ("cli.telling", "watch.notify"),
    ("cli.telling", "watch.telling"),
    ("cli.verbs.materialize", "build.due"),
    ("cli.verbs.serve", "web.app"),
    # Only where a query reads a source.
    ("cli.verbs.query", "cli.sources"),
    # Only for who connects, not for who reads one product.
    ("views.read", "views.connection"),
}
# What `products --help` and a no-op must not load.
HEAVY = {
    "duckdb",
    "polars",
    "pandera",
    "rich",
    "psycopg",
    "pyarrow",
    "pydantic",
    "apprise",
    "sqlglot",
    "jinja2",
    "starlette",
}
# What a no-op and `status` of a project without promises must not load: it costs as much as a tenth of them.
OF_PROMISES = {
    f"assay.{module}"
    for module in (
        "build.promises",
        "build.standings",
        "catalog.incidents",
        "catalog.promises",
        "plan.causes",
        "plan.forecast",
        "plan.standing",
        "watch.telling",
    )
}
# What the modules of PURE must not import: anything that reaches the disk, the network, the clock or the terminal.
IMPURE = {
    "duckdb",
    "polars",
    "pandera",
    "sqlite3",
    "os",
    "time",
    "subprocess",
    "socket",
    "click",
    "rich",
}
PURE = (
    "plan",
    "model",
    "facts",
    "decisions",
    "errors",
    "events",
    "jsonform",
    "amounts",
    "times",
    "sensitive",
    "masking",
    "text",
)
TERMINAL = {"click", "rich"}
CLOCKS = {"now", "today", "utcnow", "monotonic", "time_ns"}
MODULES = [file for file in sorted(PACKAGE.rglob("*.py")) if "template" not in file.parts]


def module_of(file: Path) -> str:
    """Return the dotted name of a module below `assay`: `plan.graph`; a package is named by itself."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_of(file) for file in MODULES}


def package_of(module: str) -> str:
    """Return the floor of a module: its package, or '' for the nouns at the top level."""
    top = module.partition(".")[0]
    return "cli" if module in {"", "__main__"} else top if top in FLOORS else ""


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """Return every imported module, and whether it is imported when the file is."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [
                (f"{node.module}.{alias.name}", id(node) not in inside) for alias in node.names
            ]
    return found


def own_module(imported: str) -> str:
    """Return the module of ours that an import names: `assay.plan.graph.Graph` is in `plan.graph`."""
    name = imported.partition(".")[2]
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def by_name(file: Path) -> str:
    return module_of(file) or "__init__"


@pytest.mark.parametrize("file", MODULES, ids=by_name)
def test_imports_run_downwards(file: Path) -> None:
    me = module_of(file)
    for imported, at_top in imports(ast.parse(file.read_text())):
        top = imported.partition(".")[0]
        if top == "assay":
            other = own_module(imported)
            assert at_top or (me, other) in LATE, f"{me} imports {imported} inside a function"
            floors = FLOORS.index(package_of(me)), FLOORS.index(package_of(other))
            assert floors[0] <= floors[1], f"{me} is below {other} and may not import it"
        elif me.startswith(PURE):
            assert top not in IMPURE, f"{me} is pure and imports {top}"
        if top in HEAVY and me not in {module for _, module in LATE}:
            assert not at_top, f"{me}: import {top} where it is used, so that starting stays fast"
        if top in TERMINAL:
            assert package_of(me) == "cli", (
                f"{me} imports {top}: only cli/ parses, prints and colours"
            )
        if top == "pandera":
            assert package_of(me) == "rules", f"{me} imports pandera: only rules/ does"


def test_no_modules_import_each_other() -> None:
    below = {
        module_of(file): {
            own_module(name)
            for name, _ in imports(ast.parse(file.read_text()))
            if name.startswith("assay.")
        }
        for file in MODULES
    }
    while settled := {
        name for name, others in below.items() if not (others - {name}) & below.keys()
    }:
        below = {name: others for name, others in below.items() if name not in settled}
    assert not below, f"these import each other: {', '.join(sorted(below))}"


@pytest.mark.parametrize("file", MODULES, ids=by_name)
def test_the_clock_is_read_in_few_places(file: Path) -> None:
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
    ]
    assert (
        package_of(module_of(file)) in {"cli", "testing", "web", "build"}
        or module_of(file) == "signals"
        or not calls
    )


def modules_loaded_by(code: str, cwd: Path) -> set[str]:
    probe = f"import sys\n{code}\nprint('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=cwd, capture_output=True, text=True, check=False
    )
    return set(done.stderr.splitlines())


def loaded_by(code: str, cwd: Path) -> set[str]:
    return {name.partition(".")[0] for name in modules_loaded_by(code, cwd)}


def command(*arguments: str) -> str:
    return (
        f"from assay.cli.main import main\ntry: main({list(arguments)!r})\nexcept SystemExit: pass"
    )


def test_help_loads_no_engine(tmp_path: Path) -> None:
    assert not loaded_by(command("--help"), tmp_path) & HEAVY
    assert not loaded_by("import assay", tmp_path) & HEAVY


def test_looking_and_doing_nothing_load_no_engine(place) -> None:
    place.write(
        "products/sales.py",
        """
        @product(owner="o", contract=pa.DataFrameSchema({"x": pa.Column(int)}))
        def p(numbers): return numbers
        """,
        header=True,
    )
    assert place.spawn("materialize").code == 0
    verbs = (
        ["status"],
        ["plan"],
        ["materialize"],
        ["ls"],
        ["why", "p"],
        ["history", "p"],
        ["lineage", "p"],
    )
    assert not loaded_by("\n".join(command(*verb) for verb in verbs), place.root) & HEAVY, (
        "none of them, one after another"
    )
    place.edit("products/sales.py", "return numbers", "return numbers.head(1)")
    assert loaded_by(command("status"), place.root) & HEAVY, (
        "the control: an edited module is read again"
    )


def test_checking_again_loads_no_engine(place) -> None:
    place.write(
        "products/sales.py",
        """
        @product(owner="o", contract=pa.DataFrameSchema({"x": pa.Column(int)}))
        def total(numbers): return numbers

        sql_product("after", "from total", owner="o", rules=[
            rule.rows(at_least=1),
            rule.sql("none is negative", "select x from this where x < 0"),
        ])
        """,
        header=True,
    )
    verbs = "\n".join([command("check"), command("lineage", "after.x")])
    assert loaded_by(verbs, place.root) >= {"duckdb"}
    assert not loaded_by(verbs, place.root) & HEAVY
    place.edit("products/sales.py", "x < 0", "x < 1")
    assert place.spawn("ls").code == 0  # reads the declarations
    assert loaded_by(command("check"), place.root) & HEAVY, "the control: its rules changed"
    assert not loaded_by(verbs, place.root) & HEAVY


def test_only_projects_with_promises_load_what_is_about_them(place) -> None:
    text = """
        from assay import Freshness, source, sql_product

        numbers = source.files("data/*.csv", columns={"x": "bigint"})
        sql_product("p", "from numbers", owner="o")
        """
    place.write("products/sales.py", text)
    assert place.spawn("materialize").code == 0
    verbs = "\n".join(command(verb) for verb in ("status", "materialize", "ls", "plan"))
    assert not modules_loaded_by(verbs, place.root) & OF_PROMISES
    promise = 'owner="o", freshness=Freshness(by="07:00")'
    place.write("products/sales.py", text.replace('owner="o"', promise))
    assert place.spawn("status").code == 0
    assert modules_loaded_by(verbs, place.root) >= OF_PROMISES, "the control: now they do"


def test_a_project_of_sql_loads_no_polars(place) -> None:
    place.write(
        "products/sales.py",
        """
        from assay import rule, source, sql_product

        numbers = source.files("data/*.csv", columns={"x": "bigint"})
        sql_product("p", "from numbers", owner="o", rules=[rule.sql("none is null", "from this where x is null")])
        """,
    )
    assert loaded_by(command("materialize"), place.root) & HEAVY == {"duckdb"}
    assert place.query("from p order by x") == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """By default pytest looks into no folder called `build`, and says nothing of it."""
    tests = Path(__file__).parent
    folders = {file.parent.relative_to(tests) for file in tests.rglob("test_*.py")}
    assert Path("build") in folders
    left_out = pytestconfig.getini("norecursedirs")
    assert [
        folder
        for folder in folders
        if any(fnmatch(part, pattern) for part in folder.parts for pattern in left_out)
    ] == []


def test_the_modules_that_architecture_names_exist() -> None:
    text = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text()
    table = text[text.index("## The packages") : text.index("Starting, `--help`")]
    for row in re.findall(r"^\| `(\w+)/` \|.*\|(.*)\|$", table, re.M):
        package, contents = row
        for name in re.findall(r"`(\w+)`", contents):
            path = PACKAGE / package / name
            assert path.is_dir() or path.with_suffix(".py").exists(), f"{package}/{name}"
    for path in re.findall(r"`(\w+/\w+)`", text):
        place = PACKAGE / path
        assert place.is_dir() or place.with_suffix(".py").exists(), path

"""The manifest can never lie: whatever it was made from, a change of it is seen."""

import builtins
import hashlib
import importlib.util
import json
import os
import py_compile
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from assay.config import find_config
from assay.declare import dependencies
from assay.declare.manifest import read_manifest
from assay.declare.project import open_project
from assay.engines.sql import reader
from assay.plan.graph import Graph
from tests.conftest import Place


@pytest.fixture
def kept(place: Place) -> Place:
    place.write("pyproject.toml", '[tool.products]\nreads = ["$RATE", "rate.txt"]\n')
    place.write("rate.txt", "1")
    place.write("lib.py", "def f(x): return x\n")
    place.write("products/p.sql", "select x from numbers")
    place.write(
        "products/sales.py",
        "import os\nfrom lib import f\nRATE = float(os.environ.get('RATE', '1')) * float(Path('rate.txt').read_text())\n"
        "sql_product('p', 'p.sql', owner='o')\n@product(owner='o')\ndef q(numbers): return f(numbers).head(int(RATE))",
        header=True,
    )
    assert place.materialize()[""]["exit_code"] == 0
    return place


def stale(place: Place) -> set[str]:
    return {t["product"] for t in place.run("plan", "--json").json if t["result"] == "build"}


def made_anew(place: Place) -> bool:
    file = place.root / ".products/manifest.json"
    before = file.stat().st_mtime_ns
    place.run("ls")
    return file.stat().st_mtime_ns != before


def test_nothing_changed(kept: Place) -> None:
    assert not made_anew(kept)
    os.utime(kept.root / "products/sales.py")
    assert not made_anew(kept), "bytes count, not times"


def compiled(place: Place) -> Path:
    return Path(importlib.util.cache_from_source(str(place.root / "products/sales.py")))


def test_what_was_compiled_of_the_very_source_is_loaded(
    kept: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded() -> dict:
        (kept.root / ".products/manifest.json").unlink(missing_ok=True)
        return kept.run("show", "q", "--json").json

    (kept.root / ".products/manifest.json").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    compiled(kept).unlink(missing_ok=True)
    first = loaded()
    assert not compiled(kept).exists(), "as Python was told"
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert loaded() == first
    by_hash = compiled(kept).read_bytes()
    assert by_hash[4:8] == b"\3\0\0\0"

    times: list[str] = []
    real = builtins.compile
    monkeypatch.setattr(
        builtins,
        "compile",
        lambda text, name, *more, **told: (
            times.append(str(name)) or real(text, name, *more, **told)
        ),
    )
    assert loaded() == first
    assert not [name for name in times if name.endswith("products/sales.py")], (
        "it is not compiled again"
    )


@pytest.mark.parametrize(
    "how", ["of another text, of the same time", "cut", "nonsense", "a folder", "no code"]
)
def test_another_compiled_file_is_not_loaded(
    kept: Place, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, text = kept.root / "products/sales.py", (kept.root / "products/sales.py").read_text()
    assert made_anew(kept) is False
    compiled(kept).parent.mkdir(exist_ok=True)
    head = importlib.util.MAGIC_NUMBER + b"\3\0\0\0" + importlib.util.source_hash(text.encode())
    match how:
        case "of another text, of the same time":
            file.write_text(text.replace("head(int", "tail(int"))
            py_compile.compile(
                str(file),
                str(compiled(kept)),
                invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
            )
            stat = file.stat()
            file.write_text(text)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        case "cut":
            py_compile.compile(
                str(file),
                str(compiled(kept)),
                invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
            )
            compiled(kept).write_bytes(compiled(kept).read_bytes()[:-50])
        case "nonsense":
            compiled(kept).write_bytes(head + b"\xff nonsense")
        case "no code":
            compiled(kept).write_bytes(head + b"N")
        case "a folder":
            compiled(kept).unlink(missing_ok=True)
            compiled(kept).mkdir()
    (kept.root / ".products/manifest.json").unlink()
    kept.write("products/more.py", "", header=True)
    assert stale(kept) == set()
    assert kept.materialize("--force")["sales.q"]["built"]
    assert kept.query("from q") == [{"x": 1}]


def test_a_definition_edited_within_the_same_second_and_size(kept: Place) -> None:
    file = kept.root / "products/sales.py"
    stat = file.stat()
    kept.edit("products/sales.py", "head(int", "tail(int")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert stale(kept) == {"sales.q"}
    told = kept.materialize()["sales.q"]
    assert told["built"]
    assert kept.query("from q") == [{"x": 3}], "the edited code ran, not a compiled file of the old"


def test_a_helper_module_edited(kept: Place) -> None:
    kept.edit("lib.py", "return x", "return x.head(1)")
    assert stale(kept) == {"sales.q"}


def test_a_sql_file_edited(kept: Place) -> None:
    kept.edit("products/p.sql", "select x", "select x + 1 as x")
    assert stale(kept) == {"sales.p"}


def test_a_definition_added_and_removed(kept: Place) -> None:
    kept.write(
        "products/more.py",
        "from assay import sql_product\nsql_product('m', 'select 1 as x', owner='o')",
    )
    assert "more.m" in stale(kept)
    (kept.root / "products/more.py").unlink()
    assert stale(kept) == set()


def test_an_environment_variable_it_reads(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "2")
    assert stale(kept) == {"sales.q"}


def test_a_file_it_reads(kept: Place) -> None:
    kept.write("rate.txt", "2")
    assert stale(kept) == {"sales.q"}


def test_the_configuration(kept: Place) -> None:
    kept.edit("pyproject.toml", "reads", 'memory = "1GB"\nreads')
    assert made_anew(kept)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"made_from": 1}', "\0", '{"files": 3, "made_from": ""}']
)
def test_a_damaged_manifest_is_made_anew(kept: Place, text: str) -> None:
    (kept.root / ".products/manifest.json").write_text(text)
    assert stale(kept) == set()
    assert made_anew(kept) is False


def test_a_manifest_of_someone_else_runs_nothing(kept: Place) -> None:
    def change(first: dict, declared: dict) -> None:
        declared["products"][0]["sql"] = "select * from read_csv('/etc/passwd')"
        first["files"] = ["../../../../etc/passwd"]

    kept.forge(change)
    assert stale(kept) == set()


QUERIES = ".products/queries.json"


def test_queries_are_parsed_once(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process asks DuckDB about what is new alone; the keys are the same as if it had asked about all."""
    kept.write(
        "products/more.py",
        "from assay import sql_product\n"
        + "".join(
            f"sql_product('r{n}', 'select {n} as n from p', domain='sales', owner='o')\n"
            for n in range(5)
        ),
    )
    kept.materialize()
    asked: list[str] = []
    real = reader.READER.serialize
    monkeypatch.setattr(
        reader.READER, "serialize", lambda text: (asked.append(text), real(text))[1]
    )
    kept.edit("products/more.py", "select 3 as n", "select 33 as n")
    reader.READER._parsed.cache_clear()
    assert stale(kept) == {"sales.r3"}
    assert {text for text in asked if "from p" in text} == {"select 33 as n from p"}
    assert "select 3 as" not in (kept.root / QUERIES).read_text(), "what is gone is forgotten"


@pytest.mark.parametrize(
    "body", ["", "{}", '{"select x from numbers": 3}', "[]", '{"a": ["m", [[1]]]}', "\0"]
)
def test_damaged_queries_are_parsed_anew(kept: Place, body: str) -> None:
    first, _, _ = (kept.root / QUERIES).read_text().partition("\n")
    forged = json.dumps([json.loads(first)[0], hashlib.sha256(body.encode()).hexdigest()])
    for text in (body, f"{first}\n{body}", f"{forged}\n{body}"):
        (kept.root / QUERIES).write_text(text)
        kept.edit("products/sales.py", "import os\n", "import os\n# again\n")
        assert stale(kept) == set()


def test_queries_of_someone_else_run_nothing(kept: Place) -> None:
    """What runs is the text of the definitions; a lie about its meaning is one about what has changed."""
    file = kept.root / QUERIES
    first, _, body = file.read_text().partition("\n")
    told = {
        text: ["0" * 32, [["", "/etc/passwd", 3], *tables]]
        for text, (_, tables) in json.loads(body).items()
    }
    told |= {f"{text};": said for text, said in told.items()}
    body = json.dumps(told, separators=(",", ":")) + "\n"
    file.write_text(
        json.dumps([json.loads(first)[0], hashlib.sha256(body.encode()).hexdigest()]) + "\n" + body
    )
    kept.edit("products/sales.py", "import os\n", "import os\n# again\n")
    ran = kept.run("materialize")
    assert ran.code == 2
    assert "/etc/passwd" in ran.err
    assert "root:" not in ran.out + ran.err
    file.unlink()
    assert kept.materialize()[""]["exit_code"] == 0


def test_a_folder_that_cannot_be_written_to_is_only_slower(kept: Place) -> None:
    (kept.root / ".products/manifest.json").unlink()
    (kept.root / ".products/manifest.json").mkdir()
    assert kept.run("plan").code == 0


def test_a_module_that_appears_where_one_was_looked_for(kept: Place) -> None:
    kept.edit(
        "products/sales.py",
        "from lib import f",
        "from lib import f\ntry:\n    from optional import N\nexcept ImportError:\n    N = 1",
    )
    kept.edit("products/sales.py", "head(int(RATE))", "head(N)")
    kept.materialize()
    kept.write("optional.py", "N = 2")
    assert stale(kept) == {"sales.q"}


def test_a_package_that_comes_before_a_module(kept: Place) -> None:
    kept.write("lib/__init__.py", "def f(x): return x.head(1)")
    assert stale(kept) == {"sales.q"}


def test_a_module_imported_only_as_a_function_runs(kept: Place) -> None:
    kept.write("late.py", "def g(x): return x")
    kept.edit("products/sales.py", "return f(numbers)", "import late; return late.g(numbers)")
    kept.materialize()
    kept.write("late.py", "def g(x): return x.head(1)")
    assert stale(kept) == {"sales.q"}


def test_a_forged_manifest_can_run_nothing_but_a_query(kept: Place) -> None:
    for sql in (
        "select 1 as x) to 'evil.csv'; select (1",
        "select * from read_csv('/etc/passwd')",
        "drop table this",
    ):

        def change(_: dict, declared: dict, sql: str = sql) -> None:
            [product] = [p for p in declared["products"] if p["name"] == "sales.p"]
            product |= {"sql": sql, "code": {"digest": "0" * 32, "parts": {"sql": "0" * 32}}}

        kept.forge(change)
        ran = kept.run("materialize")
        assert ran.code == 2
        assert "manifest.json is damaged" in ran.err
    assert not list(kept.root.rglob("evil.csv"))
    (kept.root / ".products/manifest.json").unlink()
    assert kept.materialize()[""]["exit_code"] == 0


def test_a_line_cut_off_or_changed_is_seen(kept: Place) -> None:
    file = kept.root / ".products/manifest.json"
    whole = file.read_bytes()
    for damaged in (
        whole[:-40],
        whole.replace(b"select x from numbers", b"select y from numbers"),
        whole + b"{}\n",
    ):
        file.write_bytes(damaged)
        assert stale(kept) == set()
        assert file.read_bytes() == whole


RULE = {"text": "r", "where": {"file": "x"}}


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(order=told["order"][:-1]),
        lambda told: told.update(order=[0, 0]),
        lambda told: told.update(order=[0, 7]),
        lambda told: told["products"].pop(),
        lambda told: told["products"][0].pop("owner"),
        lambda told: told["products"][0].update(name=""),
        lambda told: told["products"][0].update(retries="many"),
        lambda told: told["products"][0].update(release_group=["no", "text"]),
        lambda told: told["products"][0].update(kind="magic"),
        lambda told: told["products"][0]["inputs"][0].update(name="no.where"),
        lambda told: told["products"][0]["contract"].update(rules=[RULE | {"text": 5}]),
        lambda told: told["products"][0]["contract"].update(rules=[RULE | {"tz": "Mars"}]),
        lambda told: told["products"][0]["contract"].update(rules=[RULE | {"closes": "never"}]),
        lambda told: told["products"][0]["contract"].update(rules=[RULE | {"review_by": "soon"}]),
        lambda told: told["products"][0]["contract"].update(
            rules=[RULE | {"demand": {"kind": "condition", "place": "x", "arguments": {}}}]
        ),
        lambda told: told["sources"].pop(),
        lambda told: told["products"][0].update(freshness={"by": "25:00"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "within": "36h"}),
        lambda told: told["products"][0].update(freshness={"on": "Mon-Fri"}),
        lambda told: told["products"][0].update(freshness={"within": "long"}),
        lambda told: told["products"][0].update(freshness={"every": "0 25 * * *"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "on": "NOWHERE"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "on": "working day 77"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "covers": "tomorrow"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "tz": "Mars"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "warn_before": "soon"}),
        lambda told: told["products"][0].update(freshness={"by": "07:00", "at_least": "most"}),
        lambda told: told["calendars"].append({"name": "C", "weekdays": []}),
        lambda told: told["calendars"].append({"name": "C", "weekdays": [9]}),
    ],
)
def test_what_no_declaration_could_have_made_is_made_anew(kept: Place, change: Callable) -> None:
    kept.forge(lambda _, declared: change(declared))
    assert read_manifest(find_config(kept.root)) is None
    for verb in (["status"], ["plan"], ["materialize"]):
        assert kept.run(*verb).code == 0
    assert read_manifest(find_config(kept.root)) is not None


@pytest.fixture
def anew() -> Iterator[Callable[[Place], Graph | None]]:
    """Reads a manifest as another process would: what tools there are is looked at once in each."""

    def read(place: Place) -> Graph | None:
        dependencies.tools.cache_clear()
        return read_manifest(find_config(place.root))

    yield read
    dependencies.tools.cache_clear()


def test_a_library_replaced_by_one_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    """Whoever builds images may give all files one time."""
    file, other = tmp_path / "lib.py", tmp_path / "other"
    file.write_text("a = 1")
    other.write_text("a = 2")
    for each in (file, other):
        os.utime(each, ns=(7, 7))
    before = dependencies._stat(file)
    other.replace(file)
    assert dependencies._stat(file) != before


@pytest.mark.parametrize("library", ["duckdb", "polars", "pandera", "msgspec"])
def test_another_version_of_a_library(
    kept: Place, anew: Callable, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    assert anew(kept) is not None
    other = kept.write(f"elsewhere/{library}/__init__.py", "")
    real = dependencies.find_spec
    told = ModuleSpec(library, None, origin=str(other))
    monkeypatch.setattr(
        dependencies, "find_spec", lambda name: told if name == library else real(name)
    )
    assert anew(kept) is None


def test_a_module_of_another_project_in_the_same_process_is_none_of_this_one(
    tmp_path: Path,
) -> None:
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    for place, lib in ((first, "lib.py"), (second, "lib/far.py")):
        place.write("pyproject.toml", "[tool.products]\n")
        place.write(lib, "N = 1\n")
        place.write("products/s.py", f"from {lib[:-3].replace('/', '.')} import N\n", header=True)
        assert place.run("ls").code == 0


LATE = "@product(owner='o')\ndef p(numbers):\n    import helper, importlib\n    return numbers.head(helper.N + importlib.import_module('hidden').N)\n"


def test_modules_imported_only_as_a_function_runs_are_those_of_now(tmp_path: Path) -> None:
    """In one process, as in a notebook: not those of another project, nor of an earlier edit."""
    for number, name in enumerate(("first", "second"), 1):
        place = Place(tmp_path / name)
        place.write("pyproject.toml", "[tool.products]\n")
        place.numbers("a", 1, 2, 3, 4, 5, 6, 7)
        place.write("helper.py", f"N = {number}\n")
        place.write("hidden.py", f"N = {number}\n")
        place.write("products/sales.py", LATE, header=True)
        assert place.materialize()["sales.p"]["rows"] == 2 * number
    place.write("helper.py", "N = 3\n")
    place.write("hidden.py", "N = 4\n")
    assert place.materialize()["sales.p"]["rows"] == 7


def test_whole_numbers_of_any_size(place: Place) -> None:
    place.write(
        "products/sales.py",
        "import pandera.polars as pa\nclass C(pa.DataFrameModel):\n"
        f"    x: int = pa.Field(lt={2**200}, gt={-(2**63)}, isin=[1, 2, 3, {2**64}])\n"
        "@product(owner='o', contract=C)\ndef p(numbers): return numbers\n",
        header=True,
    )
    told = [place.run("why", "p", "--rules").out]
    kept = read_manifest(find_config(place.root))
    assert kept is not None
    assert kept == open_project(place.root).graph
    assert str(2**200) in told[0]


def test_another_version_of_assay(
    kept: Place, anew: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anew(kept) is not None
    monkeypatch.setattr(
        dependencies, "PACKAGE", str(kept.write("elsewhere/assay/manifest.py", "").parent)
    )
    assert anew(kept) is None


def test_another_python(kept: Place, anew: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anew(kept) is not None
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert anew(kept) is None


@pytest.mark.parametrize(
    "cause",
    [
        lambda kept: kept.edit("lib.py", "return x", "return  x"),
        lambda kept: (kept.root / "lib.py").unlink(),
        lambda kept: kept.edit("products/p.sql", "select", "select "),
        lambda kept: kept.write("products/below/empty.py", ""),
        lambda kept: (kept.root / "products/sales.py").unlink(),
        lambda kept: (kept.root / "rate.txt").unlink(),
        lambda kept: kept.edit("pyproject.toml", '"rate.txt"]', '"rate.txt", "other.txt"]'),
    ],
)
def test_any_of_these_and_the_definitions_are_read_again(kept: Place, cause: Callable) -> None:
    assert read_manifest(find_config(kept.root)) is not None
    cause(kept)
    assert read_manifest(find_config(kept.root)) is None


def test_what_one_who_died_half_wrote_is_written_anew(kept: Place) -> None:
    state = kept.root / ".products"
    (state / ".gitignore").write_text("")
    (state / "manifest.json.tmp").write_text(
        "much longer than what will be written, if it were only written over" * 1000
    )
    (state / "manifest.json").unlink()
    assert kept.run("status").code == 0
    assert (state / ".gitignore").read_text() == "*\n"
    assert sorted(f.name for f in state.glob("manifest*")) == ["manifest.json"]
    assert kept.run("status").code == 0
    assert "much longer" not in (state / "manifest.json").read_text()


def test_files_that_modules_read_and_folders_that_they_list_are_seen(place: Place) -> None:
    place.write("sql/a.sql", "select 1 as x")
    loop = "for f in sorted(Path('sql').glob('*.sql')):\n    sql_product(f.stem, f.read_text(), owner='o')"
    place.write("products/sales.py", loop, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    assert not made_anew(place)
    place.write("sql/a.sql", "select 2 as x")
    assert stale(place) == {"sales.a"}
    place.write("sql/b.sql", "select 3 as x")
    assert stale(place) == {"sales.a", "sales.b"}
    place.materialize()
    assert place.query("from a") == [{"x": 2}]
    (place.root / "sql/b.sql").unlink()
    assert set(place.materialize()) == {"sales.a", ""}
    place.write("sql/notes.txt", "")
    assert made_anew(place) and stale(place) == set()
    place.write("sql/.a.sql.swp", "")
    assert not made_anew(place), "what is hidden is an editor's"


def test_a_file_counts_for_what_the_module_that_read_it_made_of_it(place: Place) -> None:
    """The value of a global that cannot be read counts by what its module read; other modules' values do not."""
    place.write("rate.txt", "2")
    place.write("lib/__init__.py", "")
    place.write(
        "lib/files.py",
        "from pathlib import Path\ndef number(name): return int(Path(name).read_text())",
    )
    place.write(
        "lib/rates.py",
        "import polars as pl\nfrom lib.files import number\nRATE = pl.lit(number('rate.txt'))",
    )
    place.write("lib/plain.py", "import polars as pl\nONE = pl.lit(1)")
    place.write(
        "products/sales.py",
        "from lib.rates import RATE\nfrom lib.plain import ONE\n"
        "@product(owner='o')\ndef rated(numbers): return numbers.select(x=pl.col('x') * RATE)\n"
        "@product(owner='o')\ndef plain(numbers): return numbers.select(x=pl.col('x') * ONE)",
        header=True,
    )
    assert place.materialize()[""]["exit_code"] == 0
    place.write("rate.txt", "3")
    assert stale(place) == {"sales.rated"}
    place.materialize()
    assert place.query("from rated order by x") == [{"x": 3}, {"x": 6}, {"x": 9}]


@pytest.mark.parametrize("name", ["sql", "sql/*.txt", "**/rate*.txt", "./sql/rate.txt"])
def test_reads_takes_folders_and_globs(place: Place, name: str) -> None:
    place.write("sql/rate.txt", "2")
    place.write("pyproject.toml", f"[tool.products]\nreads = ['{name}']\n")
    read = (
        "import subprocess\nRATE = pl.lit(int(subprocess.check_output(['cat', 'sql/rate.txt'])))\n"
    )
    place.write(
        "products/sales.py",
        f"{read}@product(owner='o')\ndef p(numbers): return numbers.select(x=RATE)",
        header=True,
    )
    assert place.materialize()[""]["exit_code"] == 0
    assert not made_anew(place)
    place.write("sql/rate.txt", "3")
    assert stale(place) == {"sales.p"}


def test_reads_that_match_nothing_are_a_mistake(place: Place) -> None:
    place.write("sql/rate.txt", "2")
    text = '[tool.products]\nreads = [\n  "sql/rat.txt",\n  "sqk/*.txt",\n  "$UNSET",\n  "",\n  "zz",\n]\n'
    place.write("pyproject.toml", text)
    ran = place.run("ls")
    assert ran.code == 2
    for line in [
        "pyproject.toml:3: 'sql/rat.txt' in reads matches no file",
        "Did you mean 'sql/rate.txt'?",
        "pyproject.toml:4: 'sqk/*.txt' in reads matches no file",
        "Did you mean 'sql'?",
        "'' in reads matches no file",
        "pyproject.toml:7: 'zz' in reads matches no file",
    ]:
        assert line in ran.err, line
    assert "UNSET" not in ran.err


def test_the_version_of_a_package_counts_where_it_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0"):
        about = f"Metadata-Version: 2.1\nName: my-lib\nVersion: {version}\n"
        place.write(f"site{version}/my_lib-{version}.dist-info/METADATA", about)
    monkeypatch.syspath_prepend(place.root / "site1.0")
    place.write("pyproject.toml", '[tool.products]\npackages = ["my-lib"]\n')
    declared = "@product(owner='o')\ndef p(numbers): return numbers\nsql_product('s', 'from numbers', owner='o')"
    place.write("products/sales.py", declared, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    assert not made_anew(place)
    monkeypatch.syspath_prepend(place.root / "site2.0")
    assert stale(place) == {"sales.p"}
    assert "package my-lib" in place.run("plan").out


def test_a_package_that_is_not_installed_is_a_mistake(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\npackages = ["polarz", "no/such"]\n')
    ran = place.run("plan")
    assert ran.code == 2
    assert "pyproject.toml: 'polarz' in packages is not installed" in ran.err
    assert "Did you mean 'polars'?" in ran.err
    assert "'no/such' in packages is not installed" in ran.err


def test_modules_in_folders_are_read_again_in_the_same_process(place: Place) -> None:
    declared = "sql_product('p', 'select 1::bigint as x', owner='o')\n"
    place.write("products/shop/daily/sales.py", declared, header=True)
    assert place.materialize()["shop.p"]["result"] == "published"
    place.edit("products/shop/daily/sales.py", "select 1", "select 2")
    assert place.materialize()["shop.p"]["result"] == "published"
    assert place.query("from p") == [{"x": 2}]

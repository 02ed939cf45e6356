"""What counts as other code, and what does not: by editing a small project."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assay.declare.project import open_project
from tests.conftest import Place
from tests.forge import Forge

KNOWN = ".products/functions.json"
PRODUCTS = '''
import re
from dataclasses import dataclass
from enum import Enum
from functools import partial
from lib.clean import tidy, Cleaner
import lib.scale
from lib.exprs import *
from lib.clean import DOUBLE

FACTOR = 2
NAMES = {"a": [1, 2], "b": (3, {4, 5})}
PATTERN = re.compile("x+")
EXPRESSION = pl.col("x") * 2
HALF = partial(lib.scale.by, factor=0.5)

class Colour(Enum):
    RED = 1

@dataclass(frozen=True)
class Settings:
    limit: int = 10

SETTINGS = Settings(limit=7)

def helper(frame):
    """A docstring."""
    return frame.with_columns(pl.col("x") * FACTOR)  # a comment

def make(name, number):
    @product(name=name, owner="o")
    def made(numbers):
        return numbers.with_columns(pl.col("x") + number)
    return made

first = make("first", 1)
second = make("second", 2)

@product(owner="o", purpose="p")
def p(numbers: pl.LazyFrame) -> pl.LazyFrame:
    frame = tidy(helper(numbers)).filter(pl.col("x") < SETTINGS.limit)
    if NAMES and PATTERN and Colour.RED and HALF:
        frame = frame.with_columns(EXPRESSION).with_columns(STARRED).with_columns(DOUBLE)
    return Cleaner().run(frame).with_columns(pl.col("x").map_elements(lambda v: v.bit_length() + 1, return_dtype=pl.Int64))

@product(owner="o")
def untouched(numbers):
    return numbers
'''
CLEAN = """
from .deep import deepest, DOUBLE
UNUSED = 1
def tidy(frame):
    return deepest(frame)
class Cleaner:
    keep = 5
    def run(self, frame):
        return frame.head(self.keep)
"""
EXPRS = "import polars as pl\nBASE = 1\nSTARRED = pl.col('x') + BASE\n"
DEEP = "import polars as pl\nDOUBLE = pl.col('x') * 2\nLEVEL = 3\ndef deepest(frame):\n    return frame.head(LEVEL)\n"
SCALE = "def by(x, factor): return x * factor\n"

CHANGES = {
    "the function": (
        "products/sales.py",
        'numbers)).filter(pl.col("x") <',
        'numbers)).filter(pl.col("x") <=',
    ),
    "a helper": ("products/sales.py", 'pl.col("x") * FACTOR', 'pl.col("x") - FACTOR'),
    "a constant a helper reaches": ("products/sales.py", "FACTOR = 2", "FACTOR = 3"),
    "something inside a nested constant": ("products/sales.py", "{4, 5}", "{4, 6}"),
    "a pattern": ("products/sales.py", '"x+"', '"x*"'),
    "an expression": (
        "products/sales.py",
        'EXPRESSION = pl.col("x") * 2',
        'EXPRESSION = pl.col("x") * 4',
    ),
    "an expression imported by a star": ("lib/exprs.py", "+ BASE", "- BASE"),
    "what that expression is made of": ("lib/exprs.py", "BASE = 1", "BASE = 2"),
    "an expression imported twice over": ("lib/deep.py", "* 2", "* 3"),
    "a partial's argument": ("products/sales.py", "factor=0.5", "factor=0.25"),
    "an enum": ("products/sales.py", "RED = 1", "RED = 2"),
    "an object's value": ("products/sales.py", "limit=7", "limit=8"),
    "a lambda": ("products/sales.py", "bit_length() + 1,", "bit_length() + 2,"),
    "a function of another module": (
        "lib/clean.py",
        "return deepest(frame)",
        "return deepest(frame).head(1)",
    ),
    "a method": ("lib/clean.py", "frame.head(self.keep)", "frame.tail(self.keep)"),
    "a class attribute": ("lib/clean.py", "keep = 5", "keep = 6"),
    "a constant two modules away": ("lib/deep.py", "LEVEL = 3", "LEVEL = 4"),
    "a function reached through a module": ("lib/scale.py", "x * factor", "x / factor"),
}
SAME = {
    "a comment": ("products/sales.py", "# a comment", "# another comment"),
    "a docstring": ("products/sales.py", "A docstring.", "Another docstring."),
    "layout": ("products/sales.py", "FACTOR = 2", "FACTOR  =  2\n\n\n"),
    "purpose": ("products/sales.py", 'purpose="p"', 'purpose="q"'),
    "something it does not reach": ("lib/clean.py", "UNUSED = 1", "UNUSED = 2"),
    "another product": (
        "products/sales.py",
        "    return numbers\n",
        "    return numbers.head(2)\n",
    ),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Place(tmp_path_factory.mktemp("coded"))
    place.write("pyproject.toml", "[tool.products]\n")
    place.numbers("a", 1, 2, 3)
    place.write("products/sales.py", PRODUCTS, header=True)
    place.write("lib/clean.py", CLEAN)
    place.write("lib/deep.py", DEEP)
    place.write("lib/exprs.py", EXPRS)
    place.write("lib/scale.py", SCALE)
    assert place.materialize()[""]["exit_code"] == 0
    return place.root


@pytest.fixture
def coded(tmp_path: Path, built: Path) -> Place:
    """A project that is built, code and all."""
    return Place(shutil.copytree(built, tmp_path, dirs_exist_ok=True))


def stale(place: Place) -> set[str]:
    told = place.run("plan", "--json").json
    return {t["product"] for t in told if t["result"] == "build"}


def codes(place: Place) -> dict[str, dict[str, str]]:
    """Return the parts of each product's code, as the definitions are read now."""
    (place.root / ".products/manifest.json").unlink()
    return {
        name: dict(product.code.reached)
        for name, product in open_project(place.root).graph.products.items()
    }


@pytest.mark.parametrize("change", CHANGES)
def test_code_it_reaches_counts(coded: Place, change: str) -> None:
    assert stale(coded) == set()
    coded.edit(*CHANGES[change])
    assert "sales.p" in stale(coded)
    assert "sales.untouched" not in stale(coded)
    by_what_is_known = codes(coded)
    (coded.root / KNOWN).unlink()
    assert codes(coded) == by_what_is_known


def test_a_file_is_parsed_once_for_each_of_its_texts(
    coded: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded.write(
        "products/other.py",
        "@product(owner='o')\ndef other(numbers):\n    return numbers\n",
        header=True,
    )
    coded.run("ls")
    parsed: list[str] = []
    real = ast.parse
    monkeypatch.setattr(
        ast, "parse", lambda text, file: (parsed.append(Path(file).name), real(text, file))[1]
    )
    before = codes(coded)
    assert "other.py" not in parsed
    coded.edit("products/other.py", "return numbers", "return numbers.head(1)")
    parsed.clear()
    assert {name for name, parts in codes(coded).items() if parts != before[name]} == {
        "other.other"
    }
    assert "other.py" in parsed


def test_a_decorator_that_is_ours_no_more(coded: Place) -> None:
    """The text of a module is the same, and what a name in it stands for is not."""
    coded.write("lib/deco.py", "from assay import product\n")
    coded.write(
        "products/more.py",
        "from lib.deco import product as made\nimport assay\n"
        "def inner(numbers):\n    @made\n    def f(x): return x\n    return numbers\n"
        "@assay.product(owner='o', domain='more', name='m')\ndef m(numbers): return inner(numbers)\n",
        header=True,
    )
    before = codes(coded)["more.m"]
    coded.write("lib/deco.py", "def product(function): return function\n")
    known = codes(coded)["more.m"]
    assert known != before
    (coded.root / KNOWN).unlink()
    assert codes(coded)["more.m"] == known


@pytest.mark.parametrize(
    "body", ["", "[]", "3", '{"a": 3}', '{"a": {"1": 3}}', '{"a": {"1": ["x", 3, {}]}}', "\0"]
)
@pytest.mark.long
def test_damaged_knowledge_of_functions_is_made_anew(coded: Place, body: str) -> None:
    file, before = coded.root / KNOWN, codes(coded)
    first, _, _ = file.read_text().partition("\n")
    forged = json.dumps([json.loads(first)[0], hashlib.sha256(body.encode()).hexdigest()])
    for text in (body, f"{first}\n{body}", f"{forged}\n{body}"):
        file.write_text(text)
        assert codes(coded) == before


@pytest.mark.parametrize("change", SAME)
def test_what_it_does_not_do_does_not_count(coded: Place, change: str) -> None:
    coded.edit(*SAME[change])
    assert "sales.p" not in stale(coded)


def test_what_a_factory_closes_over_counts(coded: Place) -> None:
    coded.edit("products/sales.py", 'make("second", 2)', 'make("second", 9)')
    assert stale(coded) == {"sales.second"}


def test_the_reason_names_what_changed(coded: Place) -> None:
    coded.edit("lib/deep.py", "LEVEL = 3", "LEVEL = 4")
    told = {t["product"]: t for t in coded.run("plan", "--json").json}
    assert told["sales.p"]["reasons"] == ["code changed (lib.deep.LEVEL)"]


def test_digests_are_the_same_in_another_process(coded: Place) -> None:
    (coded.root / ".products/manifest.json").unlink()
    for seed in ("1", "2"):
        ran = coded.spawn("plan", "--json", PYTHONHASHSEED=seed)
        assert {t["result"] for t in ran.json} == {"unchanged"}
        (coded.root / ".products/manifest.json").unlink()


CONTRACT = '''
LIMIT = 3
class Base(pa.DataFrameModel):
    x: int = pa.Field(ge=0)

class Numbers(Base):
    """What it says."""
    @pa.check("x")
    def small(cls, data):
        return data.lazyframe.select(pl.col(data.key) <= LIMIT)

@product(owner="o", contract=Numbers)
def p(numbers): return numbers
'''


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("ge=0", "ge=1", "check"),
        ("LIMIT = 3", "LIMIT = 4", "check"),
        ("<= LIMIT", "< LIMIT + 9", "check"),
        ("What it says.", "What else it says.", "unchanged"),
        ("LIMIT = 3", "LIMIT = 3  # why", "unchanged"),
        ("x: int", "x: pl.Int32", "build"),
    ],
)
def test_a_contract_counts_for_judging_and_its_types_for_building(
    place: Place, old: str, new: str, result: str
) -> None:
    place.write("products/sales.py", CONTRACT, header=True)
    assert place.materialize()["sales.p"]["result"] == "published"
    place.edit("products/sales.py", old, new)
    [told] = place.run("plan", "--json").json
    assert told["result"] == result


BODIES = {
    "through a package": ("import lib.far", "return lib.far.by(numbers)"),
    "through an alias": ("import lib.far as f", "return f.by(numbers)"),
    "imported as it runs": ("", "import lib.far\n    return lib.far.by(numbers)"),
    "a name imported as it runs": ("", "from lib.far import by\n    return by(numbers)"),
    "through a module that imports it": ("import lib.near", "return lib.near.far.by(numbers)"),
    "a dataclass": ("from lib.far import Limits", "return numbers.head(Limits().limit)"),
    "a name with underscores": ("import lib.far", "return numbers.head(lib.far.hidden())"),
    "a number of one's own": ("from lib.far import N", "return numbers.head(N)"),
    "a default factory": ("from lib.far import D", "return numbers.head(D['x'])"),
    "an enum of functions": ("from lib.far import E", "return E.A.value(numbers)"),
    "an attribute set later": ("from lib.far import h", "return numbers.head(h.n)"),
    "an expression changed on the spot": (
        "from lib.far import X; X = X * SPOT",
        "return numbers.select(X)",
    ),
    "an import that may fail": (
        "try:\n    from lib.far import X\nexcept ImportError:\n    X = None",
        "return numbers.select(X)",
    ),
}
FAR = """
import polars as pl
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from functools import partial
__TOP = 1
X = pl.col('x') + 1
def hidden(): return __TOP
def by(frame): return frame.head(1)
def one(): return 1
@dataclass
class Limits:
    limit: int = 1
class Number(int):
    def __index__(self): return 1
N = Number(5)
D = defaultdict(one)
class E(Enum):
    A = partial(by)
def h(): pass
h.n = 1
"""
FAR_CHANGES = {
    "through a package": ("head(1)", "head(2)"),
    "through an alias": ("head(1)", "head(2)"),
    "imported as it runs": ("head(1)", "head(2)"),
    "a name imported as it runs": ("head(1)", "head(2)"),
    "through a module that imports it": ("head(1)", "head(2)"),
    "a dataclass": ("limit: int = 1", "limit: int = 2"),
    "a name with underscores": ("__TOP = 1", "__TOP = 2"),
    "a number of one's own": ("def __index__(self): return 1", "def __index__(self): return 2"),
    "a default factory": ("def one(): return 1", "def one(): return 2"),
    "an enum of functions": ("head(1)", "head(2)"),
    "an attribute set later": ("h.n = 1", "h.n = 2"),
    "an expression changed on the spot": ("+ 1\n", "+ 2\n"),
    "an import that may fail": ("+ 1\n", "+ 2\n"),
}


def test_however_code_is_reached_it_counts(place: Place, forge: Forge) -> None:
    """Every way in a domain of its own, with code of its own to reach; nothing is imported in the process that builds."""
    domain = {case: f"way{n}" for n, case in enumerate(BODIES)}
    for case, (top, body) in BODIES.items():
        far, near = f"far_{domain[case]}", f"near_{domain[case]}"
        place.write(f"lib/{far}.py", FAR)
        place.write(f"lib/{near}.py", f"from lib import {far}\n")
        text = f"SPOT = 2\n{top}\n@product(owner='o')\ndef p(numbers):\n    {body}\n"
        text = text.replace("lib.near.far", f"lib.{near}.{far}").replace(
            "lib.near\n", f"lib.{near}\n"
        )
        place.write(
            f"products/{domain[case]}.py", re.sub(r"lib\.far\b", f"lib.{far}", text), header=True
        )

    def planned() -> set[str]:
        told = json.loads(forge.run(place.root, "plan", "--json").out)
        assert len(told) == len(BODIES)
        assert {one["result"] for one in told} <= {"unchanged", "build"}
        return {one["product"] for one in told if one["result"] == "build"}

    assert forge.run(place.root, "materialize").code == 0
    assert planned() == set()
    changed: set[str] = set()
    for cases in (list(BODIES)[::2], list(BODIES)[1::2]):
        for case in cases:
            place.edit(f"lib/far_{domain[case]}.py", *FAR_CHANGES[case])
            changed.add(f"{domain[case]}.p")
        assert planned() == changed, domain


def test_a_product_that_is_called_counts(place: Place) -> None:
    text = "@product(owner='o')\ndef q(numbers): return numbers.head(1)\n@product(owner='o')\ndef p(numbers): return q(numbers)\n"
    place.write("products/sales.py", text, header=True)
    place.materialize()
    place.edit("products/sales.py", "head(1)", "head(2)")
    assert stale(place) == {"sales.p", "sales.q"}


@pytest.mark.parametrize("slots", ["('f',)", "'f'"])
def test_what_is_in_the_slot_of_a_class_above_counts(place: Place, slots: str) -> None:
    place.write("lib/held.py", "def twice(x):\n    return x.head(1)\n")
    place.write(
        "products/sales.py",
        f"import sys, lib.held\nclass Holds:\n    __slots__ = {slots}\n"
        "class Held(Holds):\n    __slots__ = ()\n    def __init__(self):\n        self.f = sys.modules['lib.held'].twice\n"
        "HELD = Held()\n@product(owner='o')\ndef p(numbers):\n    return HELD.f(numbers)\n",
        header=True,
    )
    place.materialize()
    place.edit("lib/held.py", "head(1)", "head(2)")
    assert stale(place) == {"sales.p"}


BOXES = {
    "a slot of a private name": "class Box:\n    __slots__ = ('__rate',)\n    def __init__(self, rate): self.__rate = rate\n    def get(self): return self.__rate",
    "slots that were read once": "class Box:\n    __slots__ = iter(['rate'])\n    def __init__(self, rate): self.rate = rate\n    def get(self): return self.rate",
    "a number": "class Box(float):\n    def get(self): return int(self)",
    "a decimal": "class Box(decimal.Decimal):\n    def get(self): return int(self)",
    "a text": "class Box(str):\n    def __new__(cls, rate): return super().__new__(cls, str(rate))\n    def get(self): return int(self)",
    "an exception": "class Box(Exception):\n    def get(self): return self.args[0]",
    "a queue": "class Box(collections.deque):\n    def __init__(self, rate): super().__init__([rate])\n    def get(self): return self[0]",
    "a mapping to look at": "def Box(rate): return types.SimpleNamespace(get=functools.partial(dict.get, types.MappingProxyType({1: rate}) | {}, 1))",
    "a name space": "def Box(rate): return types.SimpleNamespace(get=functools.partial(getattr, types.SimpleNamespace(rate=rate), 'rate'))",
    "an attribute that is no name": "class Box:\n    def __init__(self, rate):\n        self.rate = rate\n        self.__dict__[1] = 1\n    def get(self): return self.rate",
    "a struct": "class Above(msgspec.Struct):\n    rate: int\nclass Box(Above):\n    def get(self): return self.rate",
}


@pytest.mark.parametrize("box", BOXES)
def test_what_a_value_holds_counts(place: Place, box: str) -> None:
    """Nothing in the module of the product or of the value says what it is: only the value does."""
    place.write("lib/rates.py", "RATE = 1\n")
    place.write(
        "lib/make.py",
        f"import collections, decimal, functools, types, msgspec\nfrom assay import product\n{BOXES[box]}\n"
        "def make(rate):\n    box = Box(rate)\n    def p(numbers): return numbers.head(box.get())\n"
        "    return product(owner='o', name='p', domain='sales')(p)\n",
    )
    place.write(
        "products/sales.py",
        "from lib.make import make\nfrom lib import rates\np = make(rates.RATE)\n",
        header=True,
    )
    place.materialize()
    assert stale(place) == set()
    place.edit("lib/rates.py", "1", "2")
    assert stale(place) == {"sales.p"}
    assert place.materialize()["sales.p"]["rows"] == 2


def test_what_a_process_was_started_with_does_not_count(place: Place) -> None:
    text = "from sys import argv, modules, path\n@product(owner='o')\ndef p(numbers): return numbers.head(len([argv, path, modules]))\n"
    place.write("products/sales.py", text, header=True)
    assert place.spawn("materialize").code == 0
    place.edit("products/sales.py", "@product", "# a comment\n@product")
    assert stale(place) == set()


def test_what_declares_is_not_code(place: Place) -> None:
    place.write(
        "products/sales.py",
        "from assay import product as declared\nWHO = 'a'\np = declared(name='p', owner=WHO)(lambda numbers: numbers)\n"
        "@declared(owner=WHO)\ndef q(numbers): return numbers",
        header=True,
    )
    place.materialize()
    place.edit("products/sales.py", "WHO = 'a'", "WHO = 'b'")
    assert stale(place) == set()


@pytest.mark.long
def test_sets_are_the_same_in_every_process(place: Place) -> None:
    place.write(
        "products/sales.py",
        "FEW = {'a', 'b', 'c', 'd'}\nclass M(pa.DataFrameModel):\n    y: str = pa.Field(isin={'a', 'b', 'cc', 'dd'})\n"
        "@product(owner='o', contract=M)\ndef p(numbers): return numbers.select(y=pl.lit('a')) if FEW else None",
        header=True,
    )
    for seed in ("1", "2", "3"):
        place.numbers(seed, 1)
        ran = place.spawn("materialize", PYTHONHASHSEED=seed)
        assert ran.code == 0, ran.err
        (place.root / ".products/manifest.json").unlink(missing_ok=True)
    assert {t["result"] for t in place.spawn("plan", "--json", PYTHONHASHSEED="4").json} == {
        "unchanged"
    }


@pytest.mark.long
def test_sets_of_functions_and_classes_are_the_same_wherever_those_are_in_memory(
    place: Place,
) -> None:
    place.write(
        "lib/h.py",
        "import os\nBEFORE = [(lambda: k) for k in range(int(os.environ.get('BEFORE', '0')))]\n"
        "class A: pass\nclass B: pass\nclass C: pass\ndef f(n): return n\ndef g(n): return n\n"
        "KINDS = {A, B, C, int, str}\nHOW = frozenset({f, g, lambda n: n.head(1), lambda n: n.head(2)})\n",
    )
    place.write(
        "products/s.py",
        "from lib.h import KINDS, HOW\n"
        "@product(owner='o')\ndef p(numbers): return numbers.head(len(KINDS) + len(HOW))\n",
        header=True,
    )
    told = "from assay.declare.project import open_project as o; print(o().graph.products['s.p'].code.digest)"
    found = set()
    for count in (0, 37, 74, 111, 148):
        (place.root / ".products/manifest.json").unlink(missing_ok=True)
        environment = {**os.environ, "BEFORE": str(count)}
        ran = subprocess.run(
            [sys.executable, "-c", told],
            cwd=place.root,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(ran.stdout)
    assert len(found) == 1


SWAPPED = {
    "names of an import": (
        "from lib.h import net as left, gross as right",
        "from lib.h import gross as left, net as right",
    ),
    "names of values": ("A, B = net, gross", "A, B = gross, net"),
    "members of a list": ("[net, gross]", "[gross, net]"),
    "values of a mapping": ('{"a": net, "b": gross}', '{"a": gross, "b": net}'),
    "arguments of a partial": ("partial(two, net, gross)", "partial(two, gross, net)"),
    "classes": ("K, L = Net, Gross", "K, L = Gross, Net"),
    "what classes hold": ("H = [Net(), Gross()]", "H = [Gross(), Net()]"),
    "what two names of a list are": (
        "X, Y = [net], [gross]\nP, Q = X, Y",
        "X, Y = [net], [gross]\nP, Q = Y, X",
    ),
    "modules": ("import lib.h as h, lib.g as g", "import lib.g as h, lib.h as g"),
    "functions of a library": (
        "from math import floor as f, ceil as c",
        "from math import ceil as f, floor as c",
    ),
    "functions that one function makes": (
        "M, N = made(net), made(gross)\nO = [M, N]",
        "M, N = made(net), made(gross)\nO = [N, M]",
    ),
}


@pytest.mark.parametrize("what", SWAPPED)
def test_what_changes_places_counts(place: Place, what: str) -> None:
    """All that is reached is what it was; what a name stands for is not."""
    before, after = SWAPPED[what]
    names = sorted({"left", "right", "A", "B", "K", "L", "H", "P", "Q", "f", "c", "O", "VALUE"})
    place.write("lib/g.py", "def net(n): return n.tail(1)\n")
    place.write(
        "lib/h.py",
        "def net(n): return n.head(1)\ndef gross(n): return n.head(2)\n"
        "class Net:\n    def of(self, n): return n\nclass Gross:\n    def of(self, n): return n.head(1)\n",
    )
    bound = [name for name in names if f"{name} " in f"{before} ".replace(",", " ")]
    value = f"VALUE = {before}\n" if before[0] in "[{p" else f"{before}\n"
    uses = "VALUE" if value.startswith("VALUE") else ", ".join(bound) or "h.net, g.net"
    place.write(
        "products/s.py",
        "from functools import partial\nfrom lib.h import net, gross, Net, Gross\ndef two(a, b, n): return a(b(n))\n"
        f"def made(how):\n    def inner(n): return how(n)\n    return inner\n{value}"
        f"@product(owner='o')\ndef p(numbers):\n    return numbers.head(len([net, gross, Net, Gross, {uses}]))\n",
        header=True,
    )
    place.materialize()
    assert stale(place) == set()
    place.edit("products/s.py", before, after)
    assert stale(place) == {"s.p"}
    place.edit("products/s.py", after, before)
    assert stale(place) == set()


def test_what_is_made_by_exec_and_what_a_module_answers_for_count(place: Place) -> None:
    place.write("lib/h.py", "def k(): return 3\ndef __getattr__(name): return 1\n")
    place.write(
        "products/s.py",
        "from lib.h import k\nimport lib.h\nexec('def f(n): return n.head(k())')\n"
        "@product(owner='o')\ndef p(numbers): return f(numbers)\n"
        "@product(owner='o')\ndef q(numbers): return numbers.head(lib.h.many)\n",
        header=True,
    )
    place.materialize()
    place.edit("lib/h.py", "return 3", "return 2")
    assert stale(place) == {"s.p"}
    place.edit("lib/h.py", "return 1", "return 2")
    assert stale(place) == {"s.p", "s.q"}


# What runs for a product though its function does not name it: (files, what is edited, products that it counts for).
UNNAMED = {
    "a namespace of polars": (
        {
            "lib/money.py": "import polars as pl\n@pl.api.register_expr_namespace('money')\nclass Money:\n"
            "    def __init__(self, e): self.e = e\n    def vat(self): return self.e * rate()\ndef rate(): return 19\n"
        },
        "import lib.money\n@product(owner='o')\ndef p(numbers): return numbers.select(pl.col('x').money.vat())",
        ("lib/money.py", "return 19", "return 21"),
    ),
    "a namespace imported by what it imports": (
        {
            "lib/money.py": "import polars as pl\n@pl.api.register_expr_namespace('money')\nclass Money:\n"
            "    def __init__(self, e): self.e = e\n    def vat(self): return self.e * 19\n",
            "lib/every.py": "from . import money\nfrom .money import Money\n",
        },
        "from lib import every\n@product(owner='o')\ndef p(numbers): return numbers.select(pl.col('x').money.vat())",
        ("lib/money.py", "* 19", "* 21"),
    ),
    "expressions in a dictionary of another module": (
        {
            "lib/metrics.py": "METRICS = {}\n",
            "lib/shop.py": "import polars as pl\nimport lib.metrics\nlib.metrics.METRICS['net'] = pl.col('x') * 84\n",
        },
        "import lib.shop\nfrom lib.metrics import METRICS\n@product(owner='o')\n"
        "def p(numbers): return numbers.select(METRICS['net'])",
        ("lib/shop.py", "84", "83"),
    ),
    "expressions put there by a module that only others import": (
        {
            "lib/metrics.py": "METRICS = {}\n",
            "products/a_first.py": "import polars as pl\nfrom lib.metrics import METRICS\nMETRICS.update(net=pl.col('x') * 84)\n",
        },
        "from lib.metrics import METRICS\n@product(owner='o')\ndef p(numbers): return numbers.select(METRICS['net'])",
        ("products/a_first.py", "84", "83"),
    ),
    "what a function registers": (
        {
            "lib/metrics.py": "METRICS = {}\ndef metric(name, e): METRICS[name] = e\n",
            "lib/shop.py": "import polars as pl\nfrom lib.metrics import metric\nmetric('net', pl.col('x') * 84)\n",
        },
        "import lib.shop\nfrom lib.metrics import METRICS\n@product(owner='o')\n"
        "def p(numbers): return numbers.select(METRICS['net'])",
        ("lib/shop.py", "84", "83"),
    ),
    "plugins of a package": (
        {
            "lib/plug/__init__.py": "",
            "lib/plug/one.py": "def run(): return 11\n",
            "lib/loader.py": "import importlib, pkgutil, lib.plug\ndef runners():\n    return [importlib.import_module(m.name).run"
            " for m in pkgutil.iter_modules(lib.plug.__path__, 'lib.plug.')]\n",
        },
        "from lib.loader import runners\n@product(owner='o')\n"
        "def p(numbers): return numbers.select(x=pl.lit([r() for r in runners()]))",
        ("lib/plug/one.py", "11", "12"),
    ),
    "classes made of a class": (
        {
            "lib/base.py": "class Step: pass\ndef steps(): return [c() for c in Step.__subclasses__()]\n",
            "lib/steps.py": "from lib.base import Step\nclass Add(Step):\n    def run(self): return 1\n",
        },
        "import lib.steps\nfrom lib.base import steps\n@product(owner='o')\n"
        "def p(numbers): return numbers.select(x=pl.lit([s.run() for s in steps()]))",
        ("lib/steps.py", "return 1", "return 2"),
    ),
    "a method put into a class of a library": (
        {"lib/patch.py": "import polars as pl\npl.DataFrame.shown = lambda frame: frame.head(1)\n"},
        "import lib.patch\n@product(owner='o')\ndef p(numbers: pl.DataFrame): return numbers.shown()",
        ("lib/patch.py", "head(1)", "head(2)"),
    ),
}


@pytest.mark.parametrize("case", UNNAMED)
def test_what_runs_unnamed_counts(place: Place, forge: Forge, case: str) -> None:
    files, text, (file, old, new) = UNNAMED[case]
    place.write("lib/__init__.py", "")
    for path, content in files.items():
        place.write(path, content)
    place.write("products/sales.py", text, header=True)
    place.write(
        "products/other.py",
        "@product(owner='o', inputs={'numbers': 'sales.numbers'})\ndef q(numbers): return numbers",
        header=True,
    )
    place.edit("products/other.py", "numbers = source", "others = source")
    assert place.materialize()[""]["exit_code"] == 0
    before = place.query("from p")
    place.write("lib/unrelated.py", "X = 1\n")
    assert stale(place) == set()
    place.edit(file, old, new)
    assert stale(place) == {"sales.p"}
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("from p") != before


def test_a_plugin_that_appears_is_seen(place: Place) -> None:
    files, text, _ = UNNAMED["plugins of a package"]
    for path, content in {"lib/__init__.py": "", **files}.items():
        place.write(path, content)
    place.write("products/sales.py", text, header=True)
    place.materialize()
    place.write("lib/plug/two.py", "def run(): return 5\n")
    assert stale(place) == {"sales.p"}
    place.materialize()
    assert place.query("select distinct x from p") == [{"x": [11, 5]}]


def test_what_declares_in_a_loop_counts_for_nobody_else(place: Place) -> None:
    """A factory of products that is called at module level registers nothing but products."""
    place.write(
        "products/sales.py",
        "def shop(name, n):\n    @product(name=name, owner='o')\n    def made(numbers): return numbers.head(n)\n"
        "shop('a', 1)\nfor name in ['b', 'c']:\n    shop(name, 2)\nprint('loaded')\n"
        "if __name__ == '__main__':\n    shop('z', 3)",
        header=True,
    )
    place.materialize()
    place.edit("products/sales.py", "shop('a', 1)", "shop('a', 3)\nshop('d', 3)")
    assert stale(place) == {"sales.a", "sales.d"}


def test_what_one_module_registers_does_not_count_for_those_that_do_not_reach_it(
    place: Place,
) -> None:
    place.write("lib/__init__.py", "")
    place.write(
        "lib/metrics.py", "METRICS, OTHERS = {}, {}\ndef metric(name, e): OTHERS[name] = e\n"
    )
    for name in "ab":
        place.write(
            f"products/{name}.py",
            f"import polars as pl\nfrom assay import product\nfrom lib.metrics import METRICS, metric\n"
            f"METRICS['{name}'] = pl.col('x') * 2\nmetric('{name}', pl.col('x') * 3)\n"
            "@product(owner='o', inputs={'numbers': 'sales.numbers'})\ndef p(numbers): return numbers.head(1)\n",
        )
    place.materialize()
    place.edit("products/a.py", "* 2", "* 4")
    assert stale(place) == set()
    place.edit("products/a.py", "* 3", "* 5")
    assert stale(place) == {"a.p"}


@pytest.mark.long
def test_the_digest_of_code_does_not_depend_on_the_order_of_sets(place: Place) -> None:
    place.write(
        "lib/money.py",
        """
        import polars as pl

        def net(column, rate, alpha, beta, gamma):
            return pl.col(column) * rate + alpha - beta + gamma

        RATE, ALPHA, BETA, GAMMA = pl.lit(2), pl.lit(3), pl.lit(4), pl.lit(5)
        NET = net("x", RATE, ALPHA, BETA, GAMMA)
        """,
    )
    place.write(
        "products/sales.py",
        """
        from lib.money import NET

        @product(owner="o")
        def p(numbers):
            return numbers.with_columns(NET.alias("y"))
        """,
        header=True,
    )
    assert place.spawn("materialize", PYTHONHASHSEED="1").code == 0
    for seed in ("2", "3"):
        for kept in ("manifest.json", "queries.json", "functions.json"):
            (place.root / ".products" / kept).unlink(missing_ok=True)
        ran = place.spawn("plan", "--json", PYTHONHASHSEED=seed)
        assert [step["result"] for step in ran.json] == ["unchanged"], seed


@pytest.mark.parametrize(
    ("statement", "call"),
    [
        ("import colorsys", "colorsys.rgb_to_hls(0, 0, 0)"),
        ("import xml.sax.saxutils", "xml.sax.saxutils.escape('a')"),
        ("from colorsys import rgb_to_hls", "rgb_to_hls(0, 0, 0)"),
        ("from xml.sax import saxutils", "saxutils.escape('a')"),
    ],
)
def test_an_installed_module_counts_alike_whether_it_is_loaded_or_not(
    place: Place, statement: str, call: str
) -> None:
    """What a function imports when it runs may have been loaded by something else before."""
    place.write(
        "products/sales.py",
        f'@product(owner="o")\ndef p(numbers):\n    {statement}\n    {call}\n    return numbers\n',
        header=True,
    )
    code = (
        "import sys; sys.dont_write_bytecode = True\n{}\n"
        "from assay.declare.project import open_project\n"
        "print(open_project().graph.products['sales.p'].code.digest)"
    )
    digests = set()
    for loaded in ("", "import colorsys, xml.sax.saxutils"):
        shutil.rmtree(place.root / ".products", ignore_errors=True)
        command = [sys.executable, "-c", code.format(loaded)]
        ran = subprocess.run(command, cwd=place.root, capture_output=True, text=True, check=True)
        digests.add(ran.stdout)
    assert len(digests) == 1

"""`[tool.products]` of `pyproject.toml`: where a project is and how it wants to be run."""

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import fields

from assay.errors import UsageError
from assay.model import Where
from assay.policies import Mistake, Policies, policies_of
from assay.routes import Route, routes_of
from assay.times import MOST_RETRIES, while_of

PACKAGE = str(Path(__file__).parent)  # the folder of our own code
FILE = "pyproject.toml"
_CATALOG = "ASSAY_CATALOG"
_PLACES = "should be postgresql://user@host:port/database, or the path of a file"
_ADDRESS = re.compile("postgres(ql)?://")
_CREDENTIALS = re.compile(
    r"://|^postgres(ql)?:|:.*@|\b(?:dbname|host|user|password)\s*=", re.IGNORECASE
)
_MEMORY = re.compile(r"\d+(\.\d+)? ?([KMGT]i?B|%)", re.IGNORECASE)


class Config(Struct, frozen=True, kw_only=True):
    """The settings of a project; paths are relative to `root`, the folder of its `pyproject.toml`.

    - `catalog`: may hold a password; the environment variable ASSAY_CATALOG overrides it.
    - `reads`: files (also globs and folders) and environment variables (`$NAME`) that definition
      modules read while they are imported, besides files that are found to be read.
    - `packages`: installed packages whose version counts as code.
    - `waiver_days`, `waiver_approvers`: for how long a rule can be waived, and who may approve it;
      without approvers, nobody has to.
    - `budget`: the budget of each product that declares none of its own; '' for none.
    - `notify`: who is told of incidents, and how.
    - `policy`: what each product and source has to declare.
    """

    root: Path
    definitions: str = "products"
    store: str = ".products"
    catalog: str = ""
    environment: str = "prod"
    release: Literal["coherent", "as_ready"] = "coherent"
    jobs: int = 0
    memory: str = ""
    spill: str = ""
    retries: int = 0
    timeout: str = ""
    keep_versions: int = 10
    keep_days: int = 30
    waiver_days: int = 180
    waiver_approvers: tuple[str, ...] = ()
    budget: str = ""
    reads: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    access: Literal["owner", "group"] = "owner"
    notify: tuple[Route, ...] = ()
    policy: Policies = Policies()

    def __repr__(self) -> str:
        return f"Config({str(self.root)!r})"

    @property
    def state(self) -> Path:
        """The folder that holds catalog, store and manifest."""
        return self.root / self.store

    @property
    def catalog_place(self) -> Path | str:
        """The file that holds the catalog, or the address of the database that does."""
        return catalog_place(self.catalog or f"{self.store}/catalog.db", self.root)

    @property
    def limits(self) -> dict[str, str]:
        """What DuckDB may use, as it calls it; '' is its own default."""
        return {"memory_limit": self.memory, "max_temp_directory_size": self.spill}

    @property
    def spill_folder(self) -> Path:
        """The folder for data that does not fit in memory; each machine has its own."""
        return self.state / "spill" / os.uname().nodename


def find_config(start: Path) -> Config:
    """Return the configuration of the nearest project at or above a folder; UsageError for none."""
    for folder in (start, *start.parents):
        file = folder / FILE
        if file.is_file() and (settings := _settings(file)) is not None:
            return _config(folder, settings)
    raise UsageError(
        f"no project here: neither {start} nor a folder above it has a {FILE} with [tool.products]",
        hint="`products init` makes one.",
    )


def _settings(file: Path) -> dict[str, Any] | None:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
        settings = tool.get("products") if isinstance(tool, dict) else None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if settings is not None and not isinstance(settings, dict):
        raise UsageError("[tool.products] should be a table", where=Where(str(file)))
    return settings


def _config(root: Path, settings: dict[str, Any]) -> Config:
    defaults = {f.name: f.default for f in fields(Config) if f.name != "root"}
    routes, problems = routes_of(settings.get("notify", {}))
    policies, mistakes = policies_of(settings.get("policy", {}))
    problems += _with_lines(root / FILE, mistakes)
    for name, value in settings.items():
        if name not in defaults:
            from difflib import get_close_matches

            close = get_close_matches(name, defaults, n=1)
            meant = f": did you mean {close[0]!r}?" if close else ""
            problems.append(f"unknown setting {name!r}{meant}{_line_of(root / FILE, name)}")
        elif name not in {"notify", "policy"} and (problem := _wrong(name, value, defaults[name])):
            problems.append(f"{name} {problem}{_line_of(root / FILE, name)}")
    if not problems and _overlap(
        *(str(settings.get(name, defaults[name])) for name in ("store", "definitions"))
    ):
        problems.append("store should be a folder apart from the definitions")
    if problems:
        raise UsageError(
            f"[tool.products]: {problems[0]}"
            if len(problems) == 1
            else "\n  ".join(["[tool.products]:", *problems]),
            where=Where(FILE),
            hint="" if settings.keys() <= defaults.keys() else f"Settings: {', '.join(defaults)}.",
        )
    settings = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    settings["notify"], settings["policy"] = routes, policies
    if catalog := os.environ.get(_CATALOG):
        if problem := _wrong("catalog", catalog, ""):
            raise UsageError(f"the environment variable {_CATALOG} {problem}")
        settings["catalog"] = catalog
    return Config(root=root, **settings)


def _line_of(file: Path, setting: str) -> str:
    """Return the line of a setting, such as " (line 7)"; '' if it cannot be found."""
    key = re.compile(rf"""\s*(products\.)?["']?{re.escape(setting)}["']?\s*[.=]""")
    table = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("["):
            table = line.strip(" \t[]").split("]")[0].strip()
            if re.match(rf"""tool\.products\.["']?{re.escape(setting)}["']?(\.|$)""", table):
                return f" (line {number})"
        elif table in {"tool.products", "tool"} and key.match(line):
            return f" (line {number})"
    return ""


def _with_lines(file: Path, mistakes: Sequence[Mistake]) -> list[str]:
    """Return mistakes as text, each with its line in the file where that is clear."""
    lines = file.read_text(encoding="utf-8").splitlines() if mistakes else []
    lines = ["" if line.lstrip().startswith("#") else line for line in lines]
    return [f"{mistake}{_at(lines, mistake.keys)}" for mistake in mistakes]


def _at(lines: Sequence[str], keys: Sequence[str]) -> str:
    """Return the line that names a key of a policy: the first below its table, or below its parent."""
    start, wanted = 0, ["policy", *keys]
    for key in wanted:
        quoted = re.compile(rf"(?<![\w-])['\"]?{re.escape(key)}(?![\w-])")
        found = next(
            (n for n, line in enumerate(lines[start:], start) if quoted.search(line)), None
        )
        if found is None:
            break
        start = found
    return f" (line {start + 1})" if start else ""


def _overlap(store: str, definitions: str) -> bool:
    """Return whether one of two folders is, or is in, the other."""
    levels = zip(Path(store).parts, Path(definitions).parts, strict=False)
    return all(store_part == part for store_part, part in levels)


def _wrong(name: str, value: Any, default: Any) -> str:
    if isinstance(default, tuple):
        return (
            ""
            if isinstance(value, list) and all(isinstance(v, str) and "\0" not in v for v in value)
            else "should be a list of texts"
        )
    if type(value) is not type(default):
        return "should be a whole number" if isinstance(default, int) else "should be a text"
    if name == "release" and value not in {"coherent", "as_ready"}:
        return "should be 'coherent' or 'as_ready'"
    if name == "access" and value not in {"owner", "group"}:
        return "should be 'owner' or 'group'"
    if name in {"definitions", "store"} and (
        Path(value).is_absolute() or ".." in Path(value).parts or not value
    ):
        return "should be a folder inside the project"
    if name in {"definitions", "store"} and ("\0" in value or Path(value) == Path()):
        return "should be a folder inside the project"
    if name == "catalog" and _no_place(value):
        return _PLACES
    if name == "jobs" and not 0 <= value <= 64:
        return "should be between 0 and 64"
    if name == "keep_versions" and not 1 <= value <= 100_000:
        return "should be between 1 and 100000: the last version is always kept"
    if name == "keep_days" and not 0 <= value <= 36_500:
        return "should be between 0 and 36500"
    if name == "waiver_days" and not 1 <= value <= 36_500:
        return "should be between 1 and 36500"
    if name in {"memory", "spill"} and value and not _MEMORY.fullmatch(value):
        return 'should be a size such as "2GB"'
    if name == "retries" and not 0 <= value <= MOST_RETRIES:
        return f"should be between 0 and {MOST_RETRIES}"
    if name == "budget" and value:
        from assay.budgets import MAY_BE_WRITTEN, budget_of  # only for projects that have one

        try:
            budget_of(value)
        except ValueError as error:
            return f"{error}. {MAY_BE_WRITTEN}"
    if name == "timeout" and value:
        try:
            while_of(value)
        except ValueError:
            return 'should be a length of time such as "10m"'
    return bad_environment(value) if name == "environment" else ""


def catalog_place(text: str, folder: Path) -> Path | str:
    """Return the path (from a folder) or address of a catalog; UsageError for another text."""
    if _no_place(text):
        raise UsageError(f"the catalog {_PLACES}")
    return text if _ADDRESS.match(text) else folder / text


def _no_place(text: str) -> bool:
    """Return whether a text is neither an address nor a path; credentials are no path."""
    return "\0" in text or bool(_CREDENTIALS.search(text) and not _ADDRESS.match(text))


def bad_environment(name: str) -> str:
    """Return what is wrong with the name of an environment; '' when nothing is."""
    fine = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return "" if fine and len(name) <= 60 else "should be at most 60 letters, digits, - and _"

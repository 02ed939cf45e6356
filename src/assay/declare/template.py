"""Starts a project with a small example (`products init`), in a new folder or an existing repository."""

import shutil
import tomllib
from pathlib import Path

from assay.config import FILE
from assay.errors import UsageError

_TEMPLATE = Path(__file__).parent / "template"
_DEFINITIONS = "products"
_OTHERWISE = "data_products"  # where a repository has another folder of that name


def start_project(folder: Path) -> list[str]:
    """Write the example into a folder, and return the paths that were written.

    A `pyproject.toml` that is there gets the table of a project at its end; no other file is
    changed. Raises UsageError, and writes nothing, if the folder is a project already, or has a
    file of the example.
    """
    settings = _settings_of(folder)
    definitions = _DEFINITIONS
    if settings is not None and (folder / _DEFINITIONS).exists():
        definitions = _OTHERWISE
    files = {
        path.replace(f"{_DEFINITIONS}/", f"{definitions}/", 1): path
        for file in sorted(_TEMPLATE.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
        for path in [str(file.relative_to(_TEMPLATE))]
        if path != FILE or settings is None
    }
    if existing := [path for path in files if (folder / path).exists()]:
        raise UsageError(
            f"{folder} already has {', '.join(existing)}", hint="Start in another folder."
        )
    try:
        for path, template in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((_TEMPLATE / template).read_bytes())
        if settings is not None:
            _add_table(folder / FILE, settings, definitions)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return [*files, *([] if settings is None else [FILE])]


def _settings_of(folder: Path) -> str | None:
    """Return the text of a `pyproject.toml` that is there; None if there is none.

    Raises UsageError for one that cannot be read, or is of a project already.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        text = file.read_bytes().decode()
        tool = tomllib.loads(text).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if not isinstance(tool, dict) or "products" in tool:
        raise UsageError(
            f"{folder} is a project already: {file} has [tool.products]",
            hint="`products ls` lists what it declares.",
        )
    return text


def _add_table(file: Path, text: str, definitions: str) -> None:
    """Add the table of a project to the end of a file, which is replaced as a whole."""
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = ["[tool.products]", f'definitions = "{definitions}"', ""]
    before = text if not text or text.endswith("\n") else text + ending
    new = before + (ending if before else "") + ending.join(lines)
    tomllib.loads(new)  # a file that ends inside of something is not made worse
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(new.encode())
    shutil.copymode(file, partial)
    partial.replace(file)

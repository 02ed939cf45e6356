"""Makes a small project that runs."""

from collections.abc import Iterator
from pathlib import Path

from assay.errors import UsageError

_TEMPLATE = Path(__file__).parent / "template"


def start_project(folder: Path) -> list[str]:
    """Write the template into a folder and return what was made; UsageError when it would overwrite anything."""
    paths = list(_template())
    there = [path for path in paths if (folder / path).exists()]
    if there:
        raise UsageError(
            f"{folder} already has {', '.join(there)}", hint="Start in an empty folder."
        )
    try:
        for path in paths:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((_TEMPLATE / path).read_bytes())
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return paths


def _template() -> Iterator[str]:
    for file in sorted(_TEMPLATE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield str(file.relative_to(_TEMPLATE))

"""Writes a small example project (`products init`)."""

from pathlib import Path

from assay.errors import UsageError

_TEMPLATE = Path(__file__).parent / "template"


def start_project(folder: Path) -> list[str]:
    """Write the example into a folder, and return its paths; UsageError if a file exists."""
    files = [file for file in sorted(_TEMPLATE.rglob("*")) if file.is_file()]
    paths = [str(f.relative_to(_TEMPLATE)) for f in files if "__pycache__" not in f.parts]
    existing = [path for path in paths if (folder / path).exists()]
    if existing:
        message = f"{folder} already has {', '.join(existing)}"
        raise UsageError(message, hint="Start in an empty folder.")
    try:
        for path in paths:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((_TEMPLATE / path).read_bytes())
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return paths

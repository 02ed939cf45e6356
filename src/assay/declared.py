"""Reads what a project declares: imports its definitions, resolves them, and keeps what they say for the next run."""

from assay.config import Config
from assay.engines import sql as reader
from assay.errors import UsageError
from assay.loading import Local, load
from assay.manifest import keep, made_from, reads_digest, recall, relative, write_manifest
from assay.resolve import Resolved, resolve


def read_definitions(config: Config) -> Resolved:
    """Import the definitions, and keep what they say for the next run."""
    folder = config.root / config.definitions
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {config.definitions!r} in {config.root}", hint="`products init` makes one."
        )
    before = made_from(config, ())
    local = Local(config)
    loaded = load(config, local)
    known = recall(config)
    with reader.recalling(known) as parsed:
        resolved = resolve(config, loaded, local, reads_digest(config))
    files = [*loaded.files, *resolved.files, *local.looked_at, *local.absent]
    stamp = made_from(config, relative(config, files))
    if before == made_from(config, ()):  # nothing was edited while it was being read
        write_manifest(config, resolved.graph, files, stamp)
        if parsed.keys() != known.keys():
            keep(config, parsed)
    return resolved

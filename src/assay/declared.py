"""Reads what a project declares: imports its definitions, resolves them, and keeps what they say for the next run."""

from assay.config import Config
from assay.engines import sql as reader
from assay.errors import UsageError
from assay.loading import Local, load
from assay.manifest import (
    keep_functions,
    keep_queries,
    made_from,
    reads_digest,
    recall_functions,
    recall_queries,
    relative,
    write_manifest,
)
from assay.resolve import Resolved, resolve


def read_definitions(config: Config) -> Resolved:
    """Import the definitions, and keep what they say for the next run."""
    folder = config.root / config.definitions
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {config.definitions!r} in {config.root}", hint="`products init` makes one."
        )
    before = made_from(config, ())
    queries, functions = recall_queries(config), recall_functions(config)
    local = Local(config, functions)
    loaded = load(config, local)
    with reader.recalling(queries) as parsed:
        resolved = resolve(config, loaded, local, reads_digest(config))
    files = [*loaded.files, *resolved.files, *local.looked_at, *local.absent]
    stamp = made_from(config, relative(config, files))
    if before == made_from(config, ()):  # nothing was edited while it was being read
        write_manifest(config, resolved.graph, files, stamp)
        if parsed.keys() != queries.keys():
            keep_queries(config, parsed)
        if local.known != functions:
            keep_functions(config, local.known)
    return resolved

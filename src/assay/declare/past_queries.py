"""The texts of queries as they were declared before, by the digest of their syntax tree.

A version records only the digest of the query that built it; what has changed since then can be said
in words as long as the text is known here. They are the last ones that this folder's project had.
"""

from collections.abc import Mapping

from assay.config import Config
from assay.declare.manifest import PAST_QUERIES, read_kept, write_kept
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.plan.graph import Graph

SQL = "sql"  # the name of a query among the code of its product
_MOST = 2_000_000  # characters of all texts


def remember_queries(config: Config, graph: Graph) -> None:
    """Add the queries of all products; the oldest are forgotten when there are too many."""
    declared = {
        product.code.reached[SQL]: product.sql
        for product in graph.products.values()
        if product.sql and SQL in product.code.reached
    }
    kept = read_kept(config, PAST_QUERIES)
    if declared.keys() <= kept.keys():
        return
    texts = {**{m: text for m, text in kept.items() if m not in declared}, **declared}
    length, newest = 0, {}
    for meaning, text in reversed(texts.items()):
        length += len(text)
        if length > _MOST:
            break
        newest[meaning] = text
    write_kept(config, PAST_QUERIES, dict(reversed(newest.items())))


def past_queries(config: Config) -> Mapping[str, str]:
    """Return the queries that are remembered, by the digest of their syntax tree."""
    return read_kept(config, PAST_QUERIES)


def text_of_query(meaning: str, past: Mapping[str, str]) -> str:
    """Return the query with a digest; '' if it is not remembered, or is not the one it should be."""
    text = past.get(meaning, "")
    try:
        return text if text and reader.parse(text).meaning == meaning else ""
    except Unreadable:
        return ""

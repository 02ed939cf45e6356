"""Column lineage of TPC-H as sqlglot sees it: a second opinion, where it is able to have one."""

import pytest

from assay.engines.binding import EmptyTables
from tests.engines import tpch
from tests.engines.test_column_lineage import sources

sqlglot_lineage = pytest.importorskip("sqlglot.lineage")


def opinion(query: str, column: str) -> set[str]:
    """Return the columns of tables that sqlglot leads a column back to."""
    schema = {table: dict(columns) for table, columns in tpch.TABLES.items()}
    node = sqlglot_lineage.lineage(column, query, schema=schema, dialect="duckdb")
    leaves = [leaf for leaf in node.walk() if not leaf.downstream]
    return {leaf.name.rpartition(".")[2].strip('"') for leaf in leaves} & COLUMNS


COLUMNS = {column for columns in tpch.TABLES.values() for column in columns}


def test_sqlglot_agrees_on_every_column() -> None:
    """Of direct flows and of conditions: sqlglot does not tell these apart."""
    compared = 0
    with EmptyTables() as tables:
        for name, columns in tpch.TABLES.items():
            tables.add(f"tpch.{name}", columns.items())
        for number, query in enumerate(tpch.QUERIES, 1):
            for column in tables.bind(query, "tpch", []).columns:
                compared += 1
                assert sources(column.flows) == opinion(query, column.name), (number, column.name)
    assert compared == 76


def test_where_sqlglot_is_wrong_we_are_not() -> None:
    """By name is not by place: the reason why lineage is not read from the text."""
    query = "select s_name, s_suppkey from supplier union all by name select c_custkey, c_name as s_name from customer"
    with EmptyTables() as tables:
        for name, columns in tpch.TABLES.items():
            tables.add(f"tpch.{name}", columns.items())
        bound = tables.bind(query, "tpch", [])
    ours = {column.name: sources(column.flows) for column in bound.columns}
    assert ours["s_name"] == {"s_name", "c_name"}
    assert opinion(query, "s_name") != ours["s_name"]

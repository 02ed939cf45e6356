"""TPC-H: its tables, its 22 queries with their validation values, and rows that most of them find.

The rows are made by SQL from hashes, not by TPC's generator: few, so that changing each column of
each query is quick, and dense, so that filters and joins find some.
"""

import re
from pathlib import Path

import duckdb

_TABLES = """
region    r_regionkey int, r_name varchar, r_comment varchar
nation    n_nationkey int, n_name varchar, n_regionkey int, n_comment varchar
supplier  s_suppkey int, s_name varchar, s_address varchar, s_nationkey int, s_phone varchar, s_acctbal decimal(15,2), s_comment varchar
customer  c_custkey int, c_name varchar, c_address varchar, c_nationkey int, c_phone varchar, c_acctbal decimal(15,2), c_mktsegment varchar, c_comment varchar
part      p_partkey int, p_name varchar, p_mfgr varchar, p_brand varchar, p_type varchar, p_size int, p_container varchar, p_retailprice decimal(15,2), p_comment varchar
partsupp  ps_partkey int, ps_suppkey int, ps_availqty int, ps_supplycost decimal(15,2), ps_comment varchar
orders    o_orderkey int, o_custkey int, o_orderstatus varchar, o_totalprice decimal(15,2), o_orderdate date, o_orderpriority varchar, o_clerk varchar, o_shippriority int, o_comment varchar
lineitem  l_orderkey int, l_partkey int, l_suppkey int, l_linenumber int, l_quantity decimal(15,2), l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), l_returnflag varchar, l_linestatus varchar, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct varchar, l_shipmode varchar, l_comment varchar
"""


def _columns(line: str) -> tuple[str, dict[str, str]]:
    table, columns = line.split(maxsplit=1)
    return table, dict(column.split(" ") for column in re.split(r", ", columns))


TABLES = dict(_columns(line) for line in _TABLES.strip().splitlines())
QUERIES = tuple(
    query.strip()
    for query in (Path(__file__).parent / "tpch.sql").read_text().split(";")
    if query.strip()
)

# Of the row number i and a seed: a number from 0 to n - 1.
_MACROS = """
create macro pick(i, seed, n) as (hash(i * 1009 + seed) % n)::int;
create macro one_of(i, seed, list) as list[pick(i, seed, len(list)) + 1];
create macro money(i, seed, n) as (pick(i, seed, n * 100) / 100)::decimal(15,2);
"""
_ROWS = {
    "region": "select i, ['AFRICA','AMERICA','ASIA','EUROPE','MIDDLE EAST'][i + 1], 'region ' || i from range(5) t(i)",
    "nation": """
        select i, ['BRAZIL','CANADA','FRANCE','GERMANY','SAUDI ARABIA','INDIA','CHINA','KENYA'][i + 1],
            [1,1,3,3,4,2,2,0][i + 1], 'nation ' || i from range(8) t(i)""",
    "supplier": """
        select i, 'Supplier#' || i, 'address ' || i, pick(i, 1, 8), (10 + pick(i, 1, 8)) || '-' || pick(i, 2, 999),
            money(i, 3, 9000), one_of(i, 4, ['fine','slow, Customer says Complaints','quick','even'])
        from range(24) t(i)""",
    "customer": """
        select i, 'Customer#' || i, 'address ' || i, pick(i, 11, 8), one_of(i, 12, ['13','31','23','29','30','18','17','44']) || '-' || i,
            money(i, 13, 9000) - 1000, one_of(i, 14, ['BUILDING','MACHINERY']), 'comment ' || i
        from range(60) t(i)""",
    "part": """
        select i, one_of(i, 21, ['green forest','forest green lime','forest red','pale blue']), 'Manufacturer#' || pick(i, 22, 5),
            one_of(i, 23, ['Brand#12','Brand#23','Brand#34','Brand#45']),
            one_of(i, 24, ['PROMO BRASS','ECONOMY ANODIZED STEEL','LARGE BRASS','MEDIUM POLISHED TIN']),
            one_of(i, 25, [1,3,5,9,14,15,19,23,36,45,49]),
            one_of(i, 26, ['SM CASE','MED BOX','MED BAG','LG BOX','SM PKG']), money(i, 27, 1000), 'part ' || i
        from range(40) t(i)""",
    "partsupp": """
        select p, (p + k * 7) % 24, 1 + pick(p * 31 + k, 31, 9000), money(p * 31 + k, 32, 1000) + 1, 'partsupp ' || p
        from range(40) t(p), range(4) u(k)""",
    "orders": """
        select i, pick(i, 41, 45), one_of(i, 42, ['F','F','O']), money(i, 43, 400000),
            date '1993-01-01' + pick(i, 44, 1500), one_of(i, 45, ['1-URGENT','2-HIGH','3-MEDIUM','5-LOW']),
            'Clerk#' || pick(i, 46, 20), pick(i, 47, 2), one_of(i, 48, ['fine','special big requests','none'])
        from range(400) t(i)""",
    "lineitem": """
        select o_orderkey, part, (part + pick(n, 52, 4) * 7) % 24, k, 1 + pick(n, 53, 90), money(n, 54, 9000) + 100,
            pick(n, 55, 11) / 100, pick(n, 56, 9) / 100, one_of(n, 57, ['R','A','N']), one_of(n, 58, ['F','O']),
            o_orderdate + 1 + pick(n, 59, 100), o_orderdate + 30 + pick(n, 60, 60), o_orderdate + 5 + pick(n, 61, 130),
            one_of(n, 62, ['DELIVER IN PERSON','COLLECT COD']), one_of(n, 63, ['AIR','AIR REG','MAIL','SHIP']), 'line ' || n
        from (select *, o_orderkey * 10 + k as n, pick(o_orderkey * 10 + k, 51, 40) as part
              from orders, range(1, 6) t(k) where k <= 2 + pick(o_orderkey, 50, 5))""",
}


def create(connection: duckdb.DuckDBPyConnection, *, rows: bool = False) -> None:
    """Create the tables, with rows or without."""
    for table, columns in TABLES.items():
        spelled = ", ".join(f"{name} {type}" for name, type in columns.items())
        connection.execute(f"create table {table} ({spelled})")
    if rows:
        connection.execute(_MACROS)
        for table, query in _ROWS.items():
            connection.execute(f"insert into {table} {query}")

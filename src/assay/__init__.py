"""Assay: data products that are judged before anyone can read them."""

from assay.declare import parts, product, rule, source, sql_product
from assay.model import Consumer, Freshness
from assay.read import connect, path, read

__version__ = "0.1.0"
__all__ = ["Consumer", "Freshness", "connect", "parts", "path", "product", "read", "rule", "source", "sql_product"]

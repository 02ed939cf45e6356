"""What `help()` shows of the functions that declare: every keyword is explained."""

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

import pytest

from assay import calendar, parts, product, rule, source, sql_product
from assay.declare.words import ProductKeywords, RuleKeywords

COMMON = {"text", *typing.get_type_hints(RuleKeywords)}
RULES = [getattr(rule, name) for name in vars(rule) if not name.startswith("_")]


def explained(doc: str | None) -> set[str]:
    """Return the keywords that a docstring explains, as `name (type): ...`."""
    entries = re.findall(r"^ *((?:\w+(?: \([^)]*\))?, )*\w+) \(", doc or "", re.MULTILINE)
    return {name for entry in entries for name in re.findall(r"(\w+)(?: \([^)]*\))?", entry)}


def parameters(function: Callable[..., Any]) -> set[str]:
    kinds = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}
    return {p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds}


def test_every_keyword_of_a_product_is_explained() -> None:
    keywords = {*parameters(product), *typing.get_type_hints(ProductKeywords)}
    assert keywords <= explained(product.__doc__)
    assert parameters(sql_product) <= explained(sql_product.__doc__)


@pytest.mark.parametrize(
    "function", [calendar, parts, source.file, source.files, source.layout, *RULES]
)
def test_every_keyword_of_its_own_is_explained(function: Callable[..., Any]) -> None:
    assert parameters(function) - COMMON <= explained(function.__doc__)


def test_every_keyword_of_all_rules_is_explained() -> None:
    assert explained(rule.__doc__) >= COMMON

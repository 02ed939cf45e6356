"""The plugin of pytest that comes with Assay: the fixture `build`. It loads nothing until a test asks for it."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assay.testing.fixture import Build

_PROJECTS = pytest.StashKey[dict[Any, Any]]()  # the projects that tests use, by folder


@pytest.fixture
def build(request: pytest.FixtureRequest) -> "Iterator[Build]":
    """Build a product from small inputs: `build("finance.daily_revenue", inputs={…}, now=…)`.

    The product is one of the project that the test file is in. What it returns has `rows`, `frame`,
    `held_by`, `failing(rule)` and `expect(rows)`; see docs/testing.md.
    """
    opened = import_module("assay.testing.fixture").opened
    projects = request.config.stash.setdefault(_PROJECTS, {})
    with opened(request.path.parent, projects) as build:
        yield build

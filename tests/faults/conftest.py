"""One warm process for each of pytest's workers."""

from collections.abc import Iterator

import pytest

from tests.faults.forge import Forge


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    made = Forge(tmp_path_factory.mktemp("forge"))
    yield made
    made.close()

"""`products init`: in an empty folder, and in a repository that had nothing of Assay."""

import tomllib
from pathlib import Path

import pytest

from tests.conftest import Place


@pytest.fixture
def repository(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", '# ours\n[project]\nname = "shop"\nversion = "1"\n')
    place.write("data/other.txt", "of the repository")
    return place


def test_a_repository_gets_two_lines_and_a_first_module(repository: Place) -> None:
    before = (repository.root / "pyproject.toml").read_text()
    ran = repository.run("init")
    assert ran.code == 0, ran.err
    after = (repository.root / "pyproject.toml").read_text()
    assert after == f'{before}\n[tool.products]\ndefinitions = "products"\n'
    assert "added to  pyproject.toml" in ran.out
    assert repository.run("materialize").code == 0
    assert (repository.root / "data/other.txt").read_text() == "of the repository"


def test_a_folder_of_that_name_is_left_alone(repository: Place) -> None:
    repository.write("products/__init__.py", "raise RuntimeError('the package of the shop')")
    assert repository.run("init").code == 0
    settings = tomllib.loads((repository.root / "pyproject.toml").read_text())
    assert settings["tool"]["products"] == {"definitions": "data_products"}
    assert [p.name for p in (repository.root / "products").iterdir()] == ["__init__.py"]
    assert repository.run("materialize").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.products]\n", "is a project already"),
        ("[tool.products.policy]\n", "is a project already"),
        ("[project\n", "is not valid TOML"),
    ],
)
def test_what_cannot_be_started_is_not_touched(repository: Place, text: str, said: str) -> None:
    repository.write("pyproject.toml", text)
    ran = repository.run("init")
    assert ran.code == 2
    assert said in ran.err
    assert (repository.root / "pyproject.toml").read_text() == text
    assert not (repository.root / "products").exists()


def test_a_file_of_the_example_is_not_overwritten(repository: Place) -> None:
    repository.write("data/orders.csv", "mine")
    before = (repository.root / "pyproject.toml").read_text()
    ran = repository.run("init")
    assert ran.code == 2
    assert "already has data/orders.csv" in ran.err
    assert (repository.root / "pyproject.toml").read_text() == before
    assert (repository.root / "data/orders.csv").read_text() == "mine"


def test_line_ends_and_permissions_stay(repository: Place) -> None:
    file = repository.root / "pyproject.toml"
    file.write_bytes(b'[project]\r\nname = "x"')
    file.chmod(0o640)
    assert repository.run("init").code == 0
    assert (
        file.read_bytes()
        == b'[project]\r\nname = "x"\r\n\r\n[tool.products]\r\ndefinitions = "products"\r\n'
    )
    assert file.stat().st_mode & 0o777 == 0o640

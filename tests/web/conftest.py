"""A served project, and a real browser to look at it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import Place

SHOP = """
from assay import Consumer, Freshness, rule, source, sql_product

raw = source.files("raw/{day:date}.csv", columns={"id": "bigint", "amount": "double", "email": "varchar"}, owner="till@shop.example")
sql_product(
    "lines", "select day, id, amount, email from raw", owner="ann@shop.example", each="raw", purpose="Each line once.",
    rules=[rule.check("no amount is negative", "amount >= 0", because="A refund has a file of its own.")],
)
sql_product(
    "revenue", "select day, sum(amount) as net from lines group by day", owner="bob@shop.example", event_time="day",
    purpose="What was taken a day.",
    rules=[rule.check("a day is under a thousand", "net < 1000", because="It never was more.")],
    consumers=[Consumer(name="discount desk", decides="tomorrow's discounts", contact="desk@shop.example")],
)
"""


class Served:
    """A project whose pages are served by the real command."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Return status, text and headers of an answer."""
        request = Request(self.url + path.lstrip("/"), headers=headers)
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[Served]:
    """Serve a project by `products serve` on a free port."""
    command = [sys.executable, "-m", "assay", "serve", "--json", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Served(json.loads(line)["url"], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def chromium() -> str:
    """Return the browser of this machine; '' if it has none."""
    return shutil.which("chromium") or shutil.which("google-chrome") or ""


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A real browser without a screen. Skips where there is none; fails in CI."""
    if not (path := chromium()):
        if os.environ.get("CI") or os.environ.get("ASSAY_FAULTS") == "ci":
            pytest.fail("CI installs Chromium, and it is not there")
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def shop(place: Place) -> Place:
    """A small shop with a day that is held back."""
    place.write("products/shop.py", SHOP)
    place.write("raw/2024-01-05.csv", "id,amount,email\n1,10.5,a@x\n2,20,b@x\n")
    assert place.run("materialize").code == 0
    place.write("raw/2024-01-06.csv", "id,amount,email\n3,5000,c@x\n")
    assert place.run("materialize").code == 3
    return place

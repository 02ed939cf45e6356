"""Who is told what, with a real mail server and a real receiver of web hooks."""

import logging
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from assay.apprise_names import _KNOWN, unknown_service
from assay.plan.incidents import Message
from assay.routes import Route
from assay.watch.notify import send
from tests.conftest import Place
from tests.watch.receivers import Mails, Posts, free_port, posts

_PRODUCTS = """
sql_product("lines", "select x from numbers", owner="sales@shop.example", purpose="All lines.")
sql_product("total", "select sum(x)::bigint as total, timestamp '2024-01-03 07:00' as at from lines",
    owner="finance@shop.example", event_time="at",
    rules=[rule.sql("is small", "select total from this where total > 10", because="It always was.")],
    consumers=[Consumer(name="discount desk", decides="next day's discounts", contact="desk@shop.example")])
sql_product("report", "from total", owner="board@shop.example",
    consumers=[Consumer(name="CFO", decides="the month's budget", contact="cfo@shop.example")])
"""


@pytest.fixture
def mails() -> Iterator[Mails]:
    with Mails() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Posts]:
    with posts() as server:
        yield server


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", _PRODUCTS, header=True)
    return place


def routes(shop: Place, **to: str) -> None:
    """Set routes, each with one address."""
    tables = [f'[tool.products.notify.{name}]\nto = ["{url}"]' for name, url in to.items()]
    shop.write("pyproject.toml", "\n".join(["[tool.products]", *tables]) + "\n")


def notices(shop: Place) -> list[tuple[str, bool, int]]:
    """Return the messages in the catalog: event, whether it was sent, and tries."""
    with closing(sqlite3.connect(shop.root / ".products/catalog.db")) as connection:
        query = "select event, sent is not null, tries from notices order by id"
        return [(event, bool(sent), tries) for event, sent, tries in connection.execute(query)]


def wrong(shop: Place) -> None:
    shop.numbers("b", 90)


def right(shop: Place) -> None:
    (shop.root / "data/b.csv").unlink()


def test_held_back_and_restored_over_five_runs_is_two_messages(
    shop: Place, mails: Mails, hook: Posts
) -> None:
    routes(shop, finance=f"{mails.url}&to=finance@shop.example", chat=hook.url)
    assert shop.run("materialize").code == 0
    wrong(shop)
    assert [shop.run("materialize").code for _ in range(2)] == [3, 3]
    right(shop)
    assert [shop.run("materialize").code for _ in range(2)] == [0, 0]
    assert mails.recipients == [["finance@shop.example"]] * 2
    first, last = mails.subjects
    assert first == "Held back: sales.total; readers see Wednesday's figures (as of 2024-01-03)"
    assert last.startswith("Restored: sales.total, after ")
    assert hook.subjects == mails.subjects
    assert [(n[0], n[1]) for n in notices(shop)] == [("opened", True)] * 2 + [("closed", True)] * 2


def test_the_message_is_in_business_words(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    shop.run("materialize", "--now", "2024-01-04T07:00")
    wrong(shop)
    shop.run("materialize", "--now", "2024-01-05T07:00")
    [body] = hook.received
    assert body["message"].splitlines() == [
        "sales.total is held back: what was built does not meet its rules.",
        "  - is small: 1 row",
        "    It always was.",
        "rows 1 -> 1: 1 new, 1 gone",
        "would change 2 rows",
        "",
        "Since: Friday 2024-01-05 07:00 UTC",
        "In sales.total, readers see Wednesday's figures (as of 2024-01-03).",
        body["message"].splitlines()[8],
        "Affected:",
        "  - discount desk decides next day's discounts (from sales.total)",
        "  - CFO decides the month's budget (from sales.report)",
        "Waiting for it: sales.report",
        "Owner: finance@shop.example",
        "What to do: `products show sales.total --held` shows what was built; correct the data, or"
        " the rule if the data is right, and run `products materialize`",
        "",
        "Incident 1, environment prod",
    ]
    assert body["message"].splitlines()[8].startswith("In sales.report, readers see ")
    assert "91" not in body["message"], "no value of the data"


def test_owners_and_contacts_are_addressed(shop: Place, mails: Mails) -> None:
    shop.write(
        "pyproject.toml",
        f"""
        [tool.products.notify.owners]
        to = ["{mails.url}&to={{owner}}"]
        owner = ["finance*", "board*"]
        [tool.products.notify.readers]
        to = ["{mails.url}&to={{contact}}"]
        consumer = ["discount *"]
        [tool.products.notify.others]
        to = ["{mails.url}&to=nobody@shop.example"]
        domain = ["finance"]
        [tool.products.notify.failures]
        to = ["{mails.url}&to=nobody@shop.example"]
        when = ["failed", "restored"]
        [tool.products]
        """,
    )
    wrong(shop)
    shop.run("materialize")
    told = {to for [to] in mails.recipients}
    assert told == {"finance@shop.example", "board@shop.example", "desk@shop.example"}
    right(shop)
    shop.run("materialize")
    assert {to for [to] in mails.recipients[3:]} == told
    assert len(mails.received) == 6


def test_a_server_that_is_away_is_told_later(shop: Place) -> None:
    port = free_port()
    routes(shop, finance=f"mailto://127.0.0.1:{port}?from=a@shop.example&to=finance@shop.example")
    wrong(shop)
    ran = shop.run("materialize", "--now", "2024-01-05T07:00")
    assert ran.code == 3, "as without a route"
    assert "note: finance was not told, and will be later: " in ran.err
    assert "127.0.0.1" in ran.err
    again = shop.run("materialize", "--now", "2024-01-05T07:00:30")
    assert again.err == "", "not before the pause is over"
    shop.run("materialize", "--now", "2024-01-05T07:01")
    shop.run("materialize", "--now", "2024-01-05T07:02")
    assert notices(shop) == [("opened", False, 2)], "pauses grow"
    with Mails(port) as mails:
        assert shop.run("materialize", "--now", "2024-01-05T07:03").err == ""
        assert len(mails.received) == 1
        assert shop.run("materialize", "--now", "2024-01-05T08:00").err == ""
        assert len(mails.received) == 1
    [view] = shop.run("incidents", "--json", "--now", "2024-01-05T08:00").json
    assert view["seconds_to_tell"] == 180
    assert view["told"][0]["tries"] == 3


def test_the_next_try_is_not_in_the_past(shop: Place) -> None:
    """The second message waits for the first, which is tried after a pause."""
    routes(shop, finance=f"json://127.0.0.1:{free_port()}/")
    wrong(shop)
    for minute in (0, 1, 3, 8):
        shop.run("materialize", "--now", f"2024-01-05T07:{minute:02}")
    right(shop)
    shop.run("materialize", "--now", "2024-01-05T07:09")
    [view] = shop.run("incidents", "--all", "--json", "--now", "2024-01-05T07:10").json
    assert [told["retry_at"][11:16] for told in view["told"]] == ["07:23", "07:23"]
    out = shop.run("incidents", "--all", "--now", "2024-01-05T07:10").out
    assert out.count("next try 2024-01-05 07:23:00") == 2
    out = shop.run("incidents", "--all", "--now", "2024-01-05T07:30").out
    assert out.count("next try with the next run") == 2


def test_what_is_too_old_is_given_up(shop: Place) -> None:
    routes(shop, finance=f"json://127.0.0.1:{free_port()}/")
    wrong(shop)
    shop.run("materialize", "--now", "2024-01-05T07:00")
    assert shop.run("materialize", "--now", "2024-01-09T07:00").err
    assert not shop.run("materialize", "--now", "2024-02-09T07:00").err
    assert notices(shop) == [("opened", False, 2)]
    assert "was not told" in shop.run("incidents").out


def test_a_server_that_hangs_blocks_no_run(shop: Place, hook: Posts, monkeypatch) -> None:
    monkeypatch.setattr(
        "assay.watch.notify.deliver.__kwdefaults__", {"at_once": False, "limit": 0.3}
    )
    routes(shop, chat=hook.url)
    hook.hangs.set()
    wrong(shop)
    ran = shop.run("materialize", "--json")
    assert ran.code == 3
    assert ran.events[-1] == {"exit_code": 3, "interrupted": False}
    assert "no answer within 0.3 s" in ran.err


def test_an_error_of_the_server_is_tried_again(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    hook.status = 503
    wrong(shop)
    assert "503" in shop.run("materialize", "--now", "2024-01-05T07:00").err
    hook.status = 200
    assert shop.run("materialize", "--now", "2024-01-05T07:01").err == ""
    assert len(hook.received) == 1


def test_a_failure_is_told_and_retry_restores(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    source = """
    @product(owner="finance@shop.example")
    def rates(numbers):
        if not Path("rates.txt").exists():
            raise OSError("the bank does not answer")
        return numbers
    """
    shop.write("products/sales.py", source, header=True)
    assert shop.run("materialize").code == 1
    assert shop.run("retry").code == 1
    assert hook.subjects == ["Failed: sales.rates; readers have nothing yet"]
    assert "the bank does not answer" in hook.received[0]["message"]
    shop.write("rates.txt", "7")
    assert shop.run("retry").code == 0
    assert len(hook.subjects) == 2
    assert hook.subjects[1].startswith("Restored: sales.rates")


def test_the_loop_tells_as_well(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    wrong(shop)
    ran = shop.spawn("run", "--turns", "2", "--poll", "1s", "--eager")
    assert ran.code == 0, ran.err
    assert hook.subjects == ["Held back: sales.total; readers have nothing yet"]


def test_restoring_an_earlier_version_ends_the_incident(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    shop.run("materialize")
    [version] = shop.run("history", "total", "--json").json
    wrong(shop)
    shop.run("materialize")
    assert shop.run("restore", "total", version["version"]).code == 0
    assert [subject.partition(":")[0] for subject in hook.subjects] == ["Held back", "Restored"]


def test_a_trial_environment_tells_nobody(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    wrong(shop)
    shop.environment("try")
    assert shop.run("materialize", "--env", "try").code == 3
    assert hook.received == []
    [view] = shop.run("incidents", "--env", "try", "--json").json
    assert view["about"] == "sales.total"
    assert shop.run("incidents", "--json").json == []


def test_a_secret_is_read_from_the_environment_and_never_shown(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2/&?")
    monkeypatch.delenv("SMTP_USER", raising=False)
    port = free_port()
    url = (
        f"mailto://$SMTP_USER:$SMTP_PASSWORD@127.0.0.1:{port}?from=a@shop.example&to=b@shop.example"
    )
    routes(shop, finance=url)
    wrong(shop)
    ran = shop.run("materialize", "--now", "2024-01-05T07:00")
    assert "the environment variable SMTP_USER is not set" in ran.err
    monkeypatch.setenv("SMTP_USER", "me")
    later = shop.run("materialize", "--now", "2024-01-05T07:05")
    assert "not told" in later.err
    kept = b"".join(file.read_bytes() for file in (shop.root / ".products").glob("catalog.db*"))
    for text in (ran.out, ran.err, later.out, later.err, kept.decode("latin-1")):
        assert "hunter2" not in text
    shown = shop.run("notify", "--test")
    assert shown.code == 1
    assert "hunter2" not in shown.out + shown.err


def test_a_secret_that_cannot_be_shown_as_it_is_stays_secret(
    hook: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server answers may name it: it is taken out before control characters are shown."""
    secret = "hunter\u202e2"
    monkeypatch.setattr("assay.watch.notify._notify", lambda url, message: _log(secret))
    route = Route(name="chat", to=("json://$SECRET@127.0.0.1",))
    error = send(route, Message(subject="s", text="t"), {"SECRET": secret})
    assert error == "refused: ***"


def _log(secret: str) -> bool:
    logging.getLogger("apprise").warning("refused: %s", secret)
    return False


@pytest.mark.long
def test_a_server_that_takes_its_time_is_told_once(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    hook.seconds = 5
    wrong(shop)
    assert "not told" not in shop.run("materialize").err
    assert notices(shop) == [("opened", True, 1)]


def test_hostile_names_stay_text(shop: Place, mails: Mails) -> None:
    evil = r"""
    sql_product("total", "select 99 as total", owner="a@shop.example",
        rules=[rule.sql("small\r\nBcc: evil@shop.example\x1b[31m\u202e", "from this where total > 10")],
        consumers=[Consumer(name="<script>\r\nX: y", decides="\x00all\n\n.\r\nQUIT")])
    """
    shop.write("products/sales.py", evil, header=True)
    routes(shop, finance=f"{mails.url}&to=finance@shop.example")
    assert shop.run("materialize").code == 3
    [(to, mail)] = mails.received
    assert to == ["finance@shop.example"]
    assert mail["bcc"] is None
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert r"small\r\nBcc: evil@shop.example\x1b[31m\u202e" in text
    assert r"<script>\r\nX: y decides \x00all\n\n.\r\nQUIT" in text


def test_killed_between_sending_and_noting_it_a_message_comes_again(
    shop: Place, hook: Posts
) -> None:
    """At least once: nothing is lost, and what was not noted as sent is sent again."""
    routes(shop, chat=hook.url)
    wrong(shop)
    killer = """
    import os, signal
    from assay.catalog.incidents import Incidents
    Incidents.settle = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)
    from assay.cli.main import main
    main(["materialize", "--now", "2024-01-05T07:00"])
    """
    file = shop.write("killer.py", killer)
    import subprocess
    import sys

    done = subprocess.run([sys.executable, file], cwd=shop.root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert b"held back" in done.stdout, "what the run did was printed before"
    assert len(hook.received) == 1
    assert notices(shop) == [("opened", False, 1)]
    shop.run("materialize", "--now", "2024-01-05T07:01")
    assert len(hook.received) == 1, "another process may still be at it"
    shop.run("materialize", "--now", "2024-01-05T07:02")
    shop.run("materialize", "--now", "2024-01-05T07:03")
    assert hook.subjects == [hook.subjects[0]] * 2
    assert notices(shop) == [("opened", True, 2)]


def test_routes_are_tried(shop: Place, hook: Posts, mails: Mails) -> None:
    shop.write(
        "pyproject.toml",
        f"""
        [tool.products.notify.chat]
        to = ["{hook.url}", "{mails.url}&to={{owner}}"]
        [tool.products.notify.gone]
        to = ["json://127.0.0.1:{free_port()}/"]
        [tool.products]
        """,
    )
    ran = shop.run("notify", "--test")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "  chat, address 1: delivered"
    assert ran.out.splitlines()[1] == "  chat, address 2 (board@shop.example): delivered"
    assert ran.out.splitlines()[2].startswith("  gone, address 1: not delivered: ")
    assert hook.subjects == mails.subjects == ["Test: chat"]
    assert shop.run("notify", "chat", "--test").code == 0
    wrongly = shop.run("notify", "caht", "--test")
    assert (wrongly.code, "Did you mean chat?" in wrongly.err) == (2, True)


def test_without_apprise_a_run_says_what_to_install(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    routes(shop, chat="json://127.0.0.1:1/")
    wrong(shop)
    ran = shop.run("materialize")
    assert ran.code == 3
    assert "pip install 'assay[notify]'" in ran.err
    assert notices(shop) == [("opened", False, 0)]


def test_incidents_are_listed(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    assert shop.run("incidents").code == 0 or not Path(shop.root / ".products").exists()
    wrong(shop)
    shop.run("materialize", "--now", "2024-01-05T07:00")
    out = shop.run("incidents", "--now", "2024-01-05T08:30").out.splitlines()
    assert out == [
        "    1  held back  sales.total  since 2024-01-05 07:00:00, open for 1 h 30 min",
        "       rules: is small",
        "       waiting: sales.report",
        "       affects: discount desk (next day's discounts), CFO (the month's budget)",
        "       opened: told chat 2024-01-05 07:00:00",
        "       noticed after 0 s, told after 0 s",
        out[-1],
    ]
    right(shop)
    shop.run("materialize", "--now", "2024-01-05T09:00")
    assert "no open incidents" in shop.run("incidents").out
    [view] = shop.run("incidents", "--all", "--json").json
    assert view["seconds_to_repair"] == 7200
    assert view["ending"] == "restored"
    assert "restored 2024-01-05 09:00:00" in shop.run("incidents", "--all").out


def test_parts_that_are_held_back(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    shop.write(
        "products/sales.py",
        """
        visits = source.files("visits/{day:date}.csv", columns={"id": "bigint"})
        sql_product("split", "select day, count(*) as n from visits group by day", owner="o",
            partition_by="day", on_failed_part="hold_part",
            rules=[rule.sql("few visits", "select day, n from this where n > 2")])
        """,
        header=True,
    )
    shop.write("visits/2024-01-03.csv", "id\n1\n")
    shop.write("visits/2024-01-04.csv", "id\n1\n2\n3\n")
    assert shop.run("materialize").code == 3
    assert shop.run("materialize").code == 3
    [body] = hook.received
    assert "  - few visits" in body["message"]
    assert "  parts: 2024-01-04; all others are published" in body["message"]
    shop.write("visits/2024-01-05.csv", "id\n1\n2\n3\n")
    shop.run("materialize")
    assert hook.subjects[1].startswith("Still held back: sales.split")
    for day in (4, 5):
        shop.write(f"visits/2024-01-0{day}.csv", "id\n1\n")
    assert shop.run("materialize").code == 0
    assert hook.subjects[2].startswith("Restored: sales.split")


_PROMISED = """
drops = source.files("drops/*.csv", columns={"sold": "timestamp", "x": "bigint"}, event_time="sold",
    owner="shop-platform@shop.example")
sql_product("daily", "select sold, x from drops", owner="finance@shop.example", event_time="sold",
    freshness=Freshness(by="07:00", covers="previous day"),
    consumers=[Consumer(name="discount desk", decides="next day's discounts")])
sql_product("weekly", "select sold, x from daily", owner="board@shop.example", event_time="sold",
    freshness=Freshness(by="08:00", covers="previous day"),
    consumers=[Consumer(name="CFO", decides="the budget")])
"""


def test_late_then_more_is_late_then_restored_is_one_incident(shop: Place, hook: Posts) -> None:
    """A source without a window of its own is late: it explains both products."""
    routes(shop, chat=hook.url)
    shop.write("products/sales.py", _PROMISED, header=True)

    def drop(day: int) -> None:
        rows = [f"2024-01-{day:02} {hour:02}:30:00,1" for hour in range(24)]
        shop.write(f"drops/{day}.csv", "\n".join(["sold,x", *rows]) + "\n")

    drop(2)
    drop(3)
    turns = ["04T06:00", "05T05:00", "05T07:05", "05T07:30", "05T08:05", "05T08:30"]
    for at in turns:
        assert shop.run("materialize", "--now", f"2024-01-{at}").code == 0
    told = [subject for subject in hook.subjects if not subject.startswith("At risk")]
    assert told == ["Late: sales.drops", "Still late: sales.drops"]
    text = hook.received[-1]["message"]
    assert "The data of sales.drops is late." in text
    assert "discount desk decides next day's discounts (from sales.daily)" in text
    assert "CFO decides the budget (from sales.weekly)" in text
    assert "ask shop-platform@shop.example for it" in text
    drop(4)
    shop.run("materialize", "--now", "2024-01-05T09:00")
    assert hook.subjects[-1] == "Restored: sales.drops, after 1 h 55 min"
    text = hook.received[-1]["message"]
    assert text.startswith("The data of sales.drops is there. It was late for 1 h 55 min.")
    assert "In sales.daily, readers now see Thursday's figures (as of 2024-01-04)." in text
    assert shop.run("incidents", "--json", "--now", "2024-01-05T09:00").json == []
    [view] = shop.run("incidents", "--all", "--json", "--now", "2024-01-05T09:00").json
    assert view["ending"] == "restored"


def test_late_too_often_is_told_once_a_quarter(shop: Place, hook: Posts) -> None:
    routes(shop, chat=hook.url)
    with (shop.root / "pyproject.toml").open("a") as settings:
        settings.write(
            f'[tool.products.notify.night]\nto = ["{hook.url}night"]\nseverity = "error"\n'
        )
    text = _PROMISED.replace('covers="previous day")', 'covers="previous day", at_least="99 %")', 1)
    shop.write("products/sales.py", text, header=True)

    def come(drop: str, at: str) -> None:
        """A drop, and a run."""
        shop.write(f"drops/{drop}.csv", f"sold,x\n2024-{drop} 12:00:00,1\n")
        shop.run("materialize", "--now", f"2024-{at}")

    def told() -> list[str]:
        return [subject for subject in hook.subjects if "too often" in subject.lower()]

    come("03-20", "03-21T05:00")
    come("03-21", "03-22T07:30")
    come("03-22", "03-23T07:30")
    expected = ["Too often late: sales.daily; 1 of 2 kept this quarter, under the 99 % promised"]
    assert told() == expected, "once, and not to who wants errors only"
    text = next(b["message"] for b in hook.received if b["title"] == expected[0])
    assert text.startswith("sales.daily was late too often this quarter.\n  1 of 2 kept")
    assert "discount desk decides next day's discounts (from sales.daily)" in text
    assert "readers see" not in text
    views = shop.run("incidents", "--json", "--now", "2024-03-23T07:31").json
    assert [view["kind"] for view in views] == ["too often late"]
    come("03-31", "04-01T05:00")
    assert hook.subjects[-1].startswith("Restored: sales.daily, after ")
    assert hook.received[-1]["message"].startswith("The promise of sales.daily is counted anew: ")
    assert shop.run("incidents", "--json", "--now", "2024-04-01T05:01").json == []


def test_twenty_products_that_are_not_built_in_time_are_one_incident(
    shop: Place, hook: Posts
) -> None:
    routes(shop, chat=hook.url)
    shop.write(
        "products/sales.py",
        """
        drops = source.files("drops/*.csv", columns={"sold": "timestamp", "x": "bigint"}, event_time="sold")
        for n in range(20):
            sql_product(f"p{n}", "select sold, x from drops", owner=f"o{n % 2}@shop.example", event_time="sold",
                freshness=Freshness(by="07:00", tz="Europe/Berlin", covers="previous day"),
                consumers=[Consumer(name="CFO", decides="the budget")])
        """,
        header=True,
    )
    shop.write("drops/3.csv", "sold,x\n2024-01-03 12:00:00,1\n")
    shop.run("materialize", "--now", "2024-01-04T05:00")
    shop.write("drops/4.csv", "sold,x\n2024-01-04 12:00:00,1\n")
    for minute in (5, 6):
        shop.run("materialize", "-s", f"p{minute}", "--now", f"2024-01-05T06:0{minute}")
    assert hook.subjects == ["Late: 19 promises, too much work"]
    lines = hook.received[0]["message"].splitlines()
    assert lines[0] == "There is too much work at once. Late or at risk: 19 promises."
    assert "  promised: sales.p0 by Friday 2024-01-05 07:00 Europe/Berlin" in lines
    assert "  and 14 more" in lines
    assert "Since: Friday 2024-01-05 07:00 Europe/Berlin" in lines
    assert any(line.startswith("  - CFO decides the budget (from sales.p0, ") for line in lines)
    [products] = [line for line in lines if line.startswith("Products: ")]
    assert products.count("sales.p") == 19
    assert "Owner: o0@shop.example, o1@shop.example" in lines
    [view] = shop.run("incidents", "--json", "--now", "2024-01-05T06:07").json
    assert (view["about"], view["kind"], len(view["waiting"])) == ("too much work", "late", 18)
    assert "too much work  since" in shop.run("incidents", "--now", "2024-01-05T06:07").out
    shop.run("materialize", "--now", "2024-01-05T06:20")
    assert hook.subjects[1:] == ["Restored: 18 promises, too much work, after 15 min"]
    text = hook.received[1]["message"]
    assert text.startswith("There is no longer too much work: ")
    assert "readers now see Thursday's figures" in text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('to = ["mailto://me:hunter2@smtp.example"]', "password or token in plain text"),
        ('to = ["mailto://me:hunt/er2@smtp.example"]', "password or token in plain text"),
        ('to = ["mailto://me:$A@smtp.example?pass=hunter2"]', "password or token in plain text"),
        ('to = ["slack://T1hunter2J3/A1BRTD4JD/TIhunter2xrIdevi7FQ"]', "$NAME in its place"),
        ('to = ["tgram://123456789:hunter2_abc/77"]', "password or token in plain text"),
        ('to = ["json://hooks.example/hunter2abcdefghijklmnop"]', "password or token"),
        ('to = ["finance@shop.example"]', "should be an address that apprise reads"),
        ('to = ["mailto://x.example?to={onwer}"]', "there are {owner}, {contact}, {approver}"),
        ('to = "mailto://x.example"\nwhen = ["never"]', "when has 'never'"),
        ('to = "mailto://x.example"\nseverity = "hunter2"', "severity should be"),
        ('to = 7\nowner = [7]\nwhom = "x"', "unknown setting 'whom'"),
        ("to = []", "to is empty"),
        ('to = "slak://$A/$B/$C"', "apprise has no service slak://: did you mean slack://?"),
        ('owner = "x"', "lacks to"),
    ],
)
def test_settings_that_are_wrong(shop: Place, table: str, words: str) -> None:
    shop.write(
        "pyproject.toml", f"[tool.products]\nkeep_days = -1\n[tool.products.notify.a]\n{table}\n"
    )
    ran = shop.run("status")
    assert ran.code == 2
    assert words in ran.err
    assert "keep_days should be" in ran.err, "all mistakes at once"
    assert "hunter2" not in ran.err
    assert "hunt/er2" not in ran.err


MISFITS = [
    "notify.chat: consumer 'CFO2' fits nothing. Did you mean CFO?",
    "notify.chat: domain 'slaes' fits nothing. Did you mean sales?",
    "notify.desk: no product fits its owner, consumer and domain together",
]


@pytest.mark.long
def test_conditions_of_routes_that_fit_nothing_are_noted(shop: Place, hook: Posts) -> None:
    shop.write(
        "pyproject.toml",
        f"""
        [tool.products.notify.chat]
        to = ["{hook.url}"]
        domain = ["slaes", "sales"]
        consumer = ["CFO2"]
        [tool.products.notify.desk]
        to = ["{hook.url}"]
        owner = ["board@*"]
        consumer = ["discount*"]
        [tool.products.notify.all]
        to = ["{hook.url}"]
        owner = ["*"]
        """,
    )
    for command in (["materialize"], ["incidents"], ["notify", "--test"]):
        ran = shop.run(*command)
        assert ran.code == 0
        assert ran.err.splitlines() == [f"  note: {text}" for text in MISFITS], command
    shop.environment("try")
    assert shop.run("materialize", "--env", "try").err == "", "a trial tells nobody anyway"
    ran = shop.spawn("run", "--turns", "3", "--poll", "1s")
    assert [ran.out.count(text) for text in MISFITS] == [1, 1, 1], "once, not with every turn"


def test_every_service_that_is_known_is_one_of_apprise() -> None:
    apprise = pytest.importorskip("apprise")
    services = apprise.Apprise().details()["schemas"]
    names = {n for s in services for n in (*(s["protocols"] or ()), *(s["secure_protocols"] or ()))}
    assert names.intersection(_KNOWN.split()) >= {"mailto", "slack", "workflows", "json"}
    assert all(not unknown_service(name) for name in names)
    assert unknown_service("foo").startswith("apprise has no service foo://")


def test_settings_that_are_fine(shop: Place) -> None:
    shop.write(
        "pyproject.toml",
        """
        [tool.products.notify.a]
        to = ["mailto://$USER:$PASS@smtp.example?to=finance@shop.example", "$SLACK_URL",
            "slack://${TOKEN_A}/$TOKEN_B/$TOKEN_C/#data", "json://localhost:8080/hook?to={owner}",
            "mailtos://smtp.example:465?to={contact}&from=assay@shop.example"]
        when = "held back"
        [tool.products]
        """,
    )
    assert shop.run("status").code == 0, shop.run("status").err
    os.environ.pop("NOTHING", None)


def test_the_owner_of_a_source_is_told_of_a_file_that_breaks_a_rule(
    shop: Place, hook: Posts
) -> None:
    source = """
raw = source.files("in/{day:date}.csv", columns={"x": pl.Int64}, owner="platform@shop.example",
    rules=[rule.check("x is known", "x is not null")])
"""
    shop.write("products/raw.py", source, header=True)
    shop.write("in/2024-01-01.csv", "x\n1\n")
    route = f'[tool.products.notify.platform]\nto = ["{hook.url}"]\nowner = "platform@*"\n'
    shop.write("pyproject.toml", f"[tool.products]\n{route}")
    assert shop.run("materialize").code == 0
    shop.write("in/2024-01-02.csv", 'x\n""\n')
    assert shop.run("materialize").code == 3
    [body] = hook.received
    lines = body["message"].splitlines()
    assert "Owner: platform@shop.example" in lines
    assert {"  - x is known", "  parts: 2024-01-02; all others are published"} <= {*lines}
    assert any("ask platform@shop.example to deliver it again" in line for line in lines)

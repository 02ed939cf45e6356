"""The queue of the products that a run can decide on."""

from collections import deque
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from assay.build.ready import Ready
from assay.plan.urgency import Rank, Urgency

SOON, LATER = (Urgency(Rank.KEPT, datetime(2011, 12, day, tzinfo=UTC)) for day in (9, 10))
LOST = Urgency(Rank.LOST, datetime(2011, 12, 8, tzinfo=UTC))


def emptied(ready: Ready) -> list[str]:
    return [ready.pop() for _ in range(len(ready))]


@given(st.lists(st.sampled_from(["add", "resume", "pop"])))
def test_without_urgencies_it_is_a_plain_queue(steps: list[str]) -> None:
    ready, plain = Ready(["x", "y"]), deque(["x", "y"])
    for number, step in enumerate(steps):
        if step == "add":
            ready.add(str(number))
            plain.append(str(number))
        elif step == "resume":
            ready.resume(str(number))
            plain.appendleft(str(number))
        elif plain:
            assert ready.pop() == plain.popleft()
    assert emptied(ready) == list(plain)


def test_the_most_urgent_goes_first_and_what_has_begun_before_it() -> None:
    ready = Ready(["other", "lost", "later", "soon", "soon too"])
    ready.reorder({"lost": LOST, "later": LATER, "soon": SOON, "soon too": SOON})
    ready.resume("begun")
    assert emptied(ready) == ["begun", "soon", "soon too", "later", "lost", "other"]


def test_what_comes_later_is_put_where_it_belongs() -> None:
    ready = Ready(["later"])
    ready.reorder({"later": LATER, "soon": SOON})
    ready.add("soon")
    ready.add("later too")
    assert emptied(ready) == ["soon", "later", "later too"]
    ready.extend(["soon", "later"])
    ready.reorder({"soon": LATER, "later": SOON})
    assert emptied(ready) == ["later", "soon"]

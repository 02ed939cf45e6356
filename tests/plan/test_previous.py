"""What a product that reads `previous` is built on, by what is published, on plain values."""

from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from assay.decisions import Build, CodeChanged, Forced, FromStart, InputChanged, Keep, KnownInput
from assay.facts import SourceFile, SourceState
from assay.model import History
from assay.plan.digests import code_of, key_of
from assay.plan.ladder import decide
from assay.plan.moments import CLOCK
from assay.plan.previous import MOMENT
from tests.plan.test_ladder import CODE, NOW, Recorded, observed, product

OWN, MORE = "d.p", "d.r"


def reading(*reads: str, code=CODE, **more):
    return replace(product(OWN, *reads, code=code), incremental=True, **more)


def known(**digests: str):
    return {f"d.{name}": KnownInput(digest=digest) for name, digest in digests.items()}


def built(facts: Recorded, id: str, code=CODE, **inputs: str) -> Recorded:
    """Record a version that was built from these inputs; `on` is what it was built on."""
    on = inputs.pop("on", "")
    names = {f"d.{name}": digest for name, digest in inputs.items()}
    facts.built(id, OWN, code)
    key = key_of(code, names | ({OWN: on} if on else {}))
    facts.versions[id] = replace(facts.versions[id], key=key)
    return facts.judged(id)


def published(*steps: str) -> Recorded:
    """Return facts with a version for each content of the source, each built on the one before."""
    facts, on = Recorded(), ""
    for number, content in enumerate(steps, 1):
        built(facts, f"v{number}", s=content, on=on).published(f"v{number}", OWN)
        on = f"content of v{number}"
    return facts


def next_step(facts: Recorded, product=None, states=None, **how):
    return decide(product or reading(), states or known(s="s2"), observed(facts), **how)


def test_the_first_version_is_built_on_nothing() -> None:
    step = next_step(Recorded(), states=known(s="s1"))
    assert isinstance(step, Build)
    assert step.key.inputs == {"d.s": "s1"}


def test_new_inputs_go_on_from_the_published_version_and_then_nothing_is_to_do() -> None:
    step = next_step(published("s1"))
    assert isinstance(step, Build)
    assert step.key.inputs == {"d.s": "s2", OWN: "content of v1"}
    assert step.reasons == (InputChanged(name="d.s"),), "`previous` is no reason"
    kept = next_step(published("s1", "s2"))
    assert isinstance(kept, Keep)
    assert kept.version.id == "v2"


@pytest.mark.parametrize("how", ["forced", "recoded", "lost"])
def test_the_same_inputs_take_the_same_step_again(how: str) -> None:
    facts, by = published("s1", "s2"), reading()
    if how == "recoded":
        by = reading(code=code_of({"sql": "2"}))
    if how == "lost":
        facts = changed(facts, gone={"v2"})
    step = next_step(facts, by, forced=how == "forced")
    assert isinstance(step, Build)
    assert step.key.inputs == {"d.s": "s2", OWN: "content of v1"}
    if how != "lost":
        expected = Forced() if how == "forced" else CodeChanged(changed=("sql",))
        assert step.reasons == (expected,)


def test_content_that_comes_back_is_a_step_of_its_own() -> None:
    step = next_step(published("s1", "s2"), states=known(s="s1"))
    assert isinstance(step, Build)
    assert step.key.inputs == {"d.s": "s1", OWN: "content of v2"}


def test_a_version_that_is_held_back_is_not_built_on() -> None:
    facts = built(published("s1"), "v2", s="s2", on="content of v1")
    step = next_step(facts, states=known(s="s3"))
    assert step.key.inputs == {"d.s": "s3", OWN: "content of v1"}


def test_an_input_that_only_one_of_them_has_takes_the_step_again() -> None:
    step = next_step(published("s1", "s2"), reading("d.s", MORE), known(s="s2", r="r1"))
    assert step.key.inputs == {"d.s": "s2", MORE: "r1", OWN: "content of v1"}
    step = next_step(published("s1", "s2"), reading(MORE), known(r="r1"))
    assert step.key.inputs == {MORE: "r1", OWN: "content of v2"}, "nothing can be compared"


def test_a_restored_version_is_built_on() -> None:
    facts = published("s1", "s2").published("v1", OWN)
    step = next_step(facts, states=known(s="s3"))
    assert step.key.inputs == {"d.s": "s3", OWN: "content of v1"}
    step = next_step(facts, states=known(s="s2"))
    assert step.version.id == "v2", "the step was taken before: its version is published again"


def test_from_the_start_nothing_is_read_and_then_it_goes_on_from_there() -> None:
    facts = published("s1", "s2")
    step = next_step(facts, from_start=True)
    assert isinstance(step, Build)
    assert (step.key.inputs, step.reasons) == ({"d.s": "s2"}, (FromStart(),))
    built(facts, "v3", s="s2").published("v3", OWN)
    assert isinstance(next_step(facts), Keep)
    assert isinstance(next_step(facts, from_start=True), Keep), "it is what was asked for"
    step = next_step(facts, states=known(s="s3"))
    assert step.key.inputs == {"d.s": "s3", OWN: "content of v3"}


def test_a_new_day_is_a_step_also_without_new_inputs() -> None:
    monday = code_of({"sql": "1", CLOCK: "day 2011-12-05"})
    tuesday = code_of({"sql": "1", CLOCK: "day 2011-12-06"})
    other = code_of({"sql": "2", CLOCK: "day 2011-12-05"})
    facts = built(Recorded(), "v1", monday, s="s1").published("v1", OWN)
    assert isinstance(next_step(facts, reading(code=monday), known(s="s1")), Keep)
    step = next_step(facts, reading(code=tuesday), known(s="s1"))
    assert step.key.inputs == {"d.s": "s1", OWN: "content of v1"}
    step = next_step(facts, reading(code=other), known(s="s1"))
    assert step.key.inputs == {"d.s": "s1"}, "other code on the same day"


# ------------------------------------------------------------------------------ moments of histories

HISTORY = {"history": History(key=("id",), since="since", until="until")}


def moment_of(facts: Recorded, written: datetime, digest: str, **how) -> str:
    at = int(written.timestamp() * 1e9)
    file = SourceFile(path="a.csv", size=1, ctime_ns=at, digest=digest, modified_ns=at)
    states = {"d.s": KnownInput(digest=digest, origin=SourceState(name="d.s", files=(file,)))}
    return next_step(facts, reading(**HISTORY), states, **how).key.inputs[MOMENT]


def test_the_moment_of_a_step_is_when_its_input_was_there() -> None:
    early = NOW - timedelta(hours=3)
    first = moment_of(Recorded(), early, "s1")
    assert first == early.isoformat(timespec="microseconds")
    assert moment_of(Recorded(), NOW + timedelta(days=1), "s1") == NOW.isoformat(
        timespec="microseconds"
    ), "a clock that is ahead"
    facts = built(Recorded(), "v1", s="s1").published("v1", OWN)
    inputs = {"d.s": "s1", MOMENT: first}
    facts.versions["v1"] = replace(facts.versions["v1"], key=key_of(CODE, inputs))
    assert (
        moment_of(facts, early - timedelta(days=1), "s2")
        == (early + timedelta(microseconds=1)).isoformat()
    ), "an older file after a newer one"
    assert moment_of(facts, NOW, "s1", forced=True) == first, "the same step, the same moment"


def test_the_moment_of_a_product_is_when_its_version_was_built() -> None:
    version = Recorded().built("r1", "d.s").versions["r1"]
    built_at = datetime(2011, 12, 1, tzinfo=UTC)
    states = {"d.s": KnownInput(digest="s1", origin=replace(version, built_at=built_at))}
    step = next_step(Recorded(), reading(**HISTORY), states)
    assert step.key.inputs[MOMENT] == "2011-12-01T00:00:00.000000+00:00"

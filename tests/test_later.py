"""A value of which a part is known is taken for the whole, and is read once, when more is asked for."""

from dataclasses import asdict, replace

import pytest

from assay.later import later
from assay.model import Column, Contract


def test_it_is_the_whole_and_reads_it_once() -> None:
    whole, asked = Contract(digest="d", columns=(Column(name="x", type="DATE"),), key=("x",)), []

    def read() -> Contract:
        asked.append(1)
        return whole

    value = later(Contract, read, {"digest": "d"})
    assert value.digest == "d"
    assert not asked
    assert isinstance(value, Contract)
    assert value.key == ("x",)
    assert value == whole
    assert whole == value
    assert hash(value) == hash(whole)
    assert (repr(value), asdict(value)) == (repr(whole), asdict(whole))
    assert replace(value, key=()) == replace(whole, key=())
    assert asked == [1]
    with pytest.raises(AttributeError):
        value.nothing  # noqa: B018

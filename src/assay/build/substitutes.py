"""Versions in which the published parts replace those that are held back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from assay.build.building import BuildOrder, bytes_of, combined, new_id, rows_in_of
from assay.facts import Part, Version
from assay.plan.digests import key_of
from assay.plan.holding import data_as_of, why_irreplaceable


def without_failed_parts(
    order: BuildOrder, version: Version, published: Version | None, now: datetime
) -> Version:
    """Return a version in which published parts replace those that the order's key holds back."""
    old = _parts_by_key(published)
    parts = [old.get(part.key) if part.key in order.key.held else part for part in version.parts]
    return replace(
        _with_parts(order, version, [part for part in parts if part is not None]),
        id=new_id(),
        key=order.key,
        built_at=now,
        seconds=0.0,
        run=order.run,
    )


def without_unbuilt_parts(
    order: BuildOrder, version: Version, errors: Mapping[str, Exception]
) -> Version:
    """Return a version in which the published parts replace those that could not be built.

    Raises the first of the errors if the published parts do not fit the version.
    """
    if why := why_irreplaceable(version, order.before, set(errors)):
        error = next(iter(errors.values()))
        error.add_note(f"Nothing of {order.product.name} goes out without it: {why}.")
        raise error
    old = _parts_by_key(order.before if order.before and order.before.in_parts else None)
    new = {part.key: part for part in version.parts}
    parts = [
        old.get(spec.key) if spec.key in errors else new[spec.key] for spec in order.steps.specs
    ]
    held_parts = {key: old[key].digest if key in old else "" for key in errors}
    key = key_of(order.key.code, order.key.inputs, held_parts, of=version.digest)
    return replace(
        _with_parts(order, version, [part for part in parts if part is not None]), key=key
    )


def _parts_by_key(version: Version | None) -> dict[str, Part]:
    return {part.key: part for part in version.parts} if version else {}


def _with_parts(order: BuildOrder, version: Version, parts: Sequence[Part]) -> Version:
    measured = combined(parts, version.columns)
    return replace(
        version,
        digest=measured.digest,
        rows=measured.rows,
        parts=tuple(parts),
        bytes=bytes_of(parts),
        rows_in=rows_in_of(parts),
        data_as_of=data_as_of(order.product, parts, version.data_as_of),
    )

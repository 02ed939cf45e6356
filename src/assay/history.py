"""The versions of a product and what became of them, and putting one of them back before its readers."""

from datetime import datetime
from typing import Any

from assay.catalog import Catalog
from assay.engines.feed import stored
from assay.errors import UsageError
from assay.model import QUARANTINE, Move, Product, Status, Version, short
from assay.storage import Storage


def history_of(catalog: Catalog, product: Product, environment: str) -> list[dict[str, Any]]:
    """Return the versions of a product, newest first, with verdicts and releases, as plain data.

    A verdict is that under today's contract, or, where there is none, the last one.
    """
    releases = catalog.releases(product.name, environment)
    pointer = catalog.pointers(environment).get(product.name)
    found = []
    for version in catalog.versions(product.name):
        judged = catalog.verdicts(version.id, environment)
        verdicts = [v for v in judged if v.contract == product.contract.digest] or judged
        results = verdicts[0].results if verdicts else ()
        found.append(
            {
                "version": version.id,
                "now": bool(pointer and pointer.version == version.id),
                "pinned": bool(pointer and pointer.version == version.id and pointer.pinned),
                "built_at": version.built_at.isoformat(),
                "seconds": version.seconds,
                "rows": version.rows if version.columns else None,
                "bytes": version.bytes,
                "data_as_of": version.data_as_of.isoformat() if version.data_as_of else None,
                "verdict": str(verdicts[0].status) if verdicts else "not judged",
                "restated": f"restated: {verdicts[0].restated}" if verdicts and verdicts[0].restated else "",
                "failed": [r.text for r in results if r.status in {Status.FAILED, Status.ERROR}],
                "released": [
                    {"release": r.id, "at": r.at.isoformat(), "why": r.why}
                    for r in releases
                    if r.moves[0][1] == version.id
                ],
            }
        )
    return found


def version_of(catalog: Catalog, product: str, id: str) -> Version:
    """Return the version of a product whose id begins so; UsageError when none does, or several do."""
    found = [v for v in catalog.versions(product) if v.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    what = f"{id!r} could be {', '.join(short(v.id) for v in found)}" if found else f"{product} has no version {id!r}"
    raise UsageError(what, hint=f"`products history {product}` lists them.")


def restore(
    catalog: Catalog, storage: Storage, product: str, id: str | None, *, environment: str, now: datetime
) -> dict[str, Any]:
    """Publish an earlier version and pin it, or, without an id, unpin what is published; both are releases.

    The rows that were set aside of it go with it.
    """
    pointers = catalog.pointers(environment)
    pointer = pointers.get(product)
    beside = f"{product}__{QUARANTINE}"
    if id is None:
        if pointer is None or not pointer.pinned:
            raise UsageError(f"{product} is not pinned")
        pinned = [p for n in (product, beside) if (p := pointers.get(n)) and p.pinned]
        moves = [Move(product=p.product, version=p.version, previous=p.previous) for p in pinned]
        told = {"result": "unpinned", "version": pointer.version, "note": "moves again with the next run"}
        why = "unpin"
    else:
        version = version_of(catalog, product, id)
        if not any(verdict.passed for verdict in catalog.verdicts(version.id)):
            raise UsageError(f"{short(version.id)} of {product} was never judged good, so it cannot go before readers")
        aside = [v for v in catalog.versions(beside) if v.key.inputs.get(product) == version.digest]
        # What is put back is not to be compared with what it takes back.
        moves = [Move(product=v.product, version=v.id, pinned=True) for v in (version, *aside[:1])]
        for put in (version, *aside[:1]):
            stored(put, storage)
        note = f"pinned; `products restore {product} --unpin` lets it move again"
        told = {"result": "restored", "version": version.id, "note": note}
        why = f"restore {short(version.id)}"
    expects = {m.product: found.release if (found := pointers.get(m.product)) else 0 for m in moves}
    release = catalog.release(environment, moves, expects, run="", at=now, why=why)
    return {"product": product, "release": release.id, **told}

"""The versions of a product, and what became of them."""

from typing import Any

from assay.catalog import Catalog
from assay.model import Product, Status


def history_of(
    catalog: Catalog, name: str, product: Product | None, environment: str
) -> list[dict[str, Any]]:
    """Return the versions of a product (None: it is no longer declared), newest first, with verdicts and releases.

    A verdict is that under today's contract, or, where there is none, the last one.
    """
    releases = catalog.releases(name, environment)
    pointer = catalog.pointers(environment).get(name)
    found = []
    for version in catalog.versions(name):
        judged = catalog.verdicts(version.id, environment)
        verdicts = [
            v for v in judged if product and v.contract == product.contract.digest
        ] or judged
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
                "held_parts": list(version.key.held),
                "verdict": str(verdicts[0].status) if verdicts else "not judged",
                "restated": f"restated: {verdicts[0].restated}"
                if verdicts and verdicts[0].restated
                else "",
                "failed": [r.text for r in results if r.status in {Status.FAILED, Status.ERROR}],
                "released": [
                    {"release": r.id, "at": r.at.isoformat(), "why": r.why}
                    for r in releases
                    if r.moves[0][1] == version.id
                ],
            }
        )
    return found

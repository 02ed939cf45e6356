"""Who builds what: the products that living runs may build, each with the key it would be built for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import cache

from assay.catalog.database import Database, Writer
from assay.errors import Conflict
from assay.events import Holder

_HELD = (
    "select c.product, c.key, r.id, r.environment, r.started_at, r.host, r.pid from claims c"
    " join runs r on r.id = c.run where r.state = 'running' order by r.started_at"
)


def claim(
    writer: Writer, run: str, wanted: Mapping[str, str], is_dead: Callable[[str], bool]
) -> dict[str, Holder]:
    """Claim products, by the keys they would be built for, and return those that living runs have, with who has each.

    Runs that build different keys of a product (of two environments, say) do not hold each other up; a key that is not
    known yet, '', may be any.
    """
    held = {
        product: holder
        for product, key, holder in living(writer, is_dead)
        if product in wanted and (not key or not wanted[product] or key == wanted[product])
    }
    writer.many(
        "insert into claims values (?, ?, ?)",
        [(name, key, run) for name, key in wanted.items() if name not in held],
    )
    return held


def check_built(writer: Writer, wanted: Collection[str], recorded: int) -> None:
    """Raise Conflict when a version of one of these was recorded after so many had been: it may be what is wanted."""
    built = {
        product
        for (product,) in writer.rows("select product from versions where seq > ?", [recorded])
    }
    if since := sorted(built.intersection(wanted)):
        raise Conflict(f"{since[0]} was built by another run meanwhile")


def living(
    asked: Database | Writer, is_dead: Callable[[str], bool]
) -> list[tuple[str, str, Holder]]:
    """Return what living runs have claimed: product, key, and who."""
    dead = cache(is_dead)
    return [
        (
            product,
            key,
            Holder(run=run, environment=env, since=datetime.fromisoformat(at), host=host, pid=pid),
        )
        for product, key, run, env, at, host, pid in asked.rows(_HELD)
        if not dead(run)
    ]


def let_go(writer: Writer, run: str, products: Iterable[str]) -> None:
    """Give up what a run has claimed of these products."""
    writer.many(
        "delete from claims where run = ? and product = ?", [(run, product) for product in products]
    )

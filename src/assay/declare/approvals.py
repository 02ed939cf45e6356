"""Who has to approve a product, as declared; and declared approvals of its versions."""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from assay.approvals import SHORTEST, Approval
from assay.declare.argument_types import is_text
from assay.declare.names import Names
from assay.declare.words import ApprovalDeclaration
from assay.model import Product, Where
from assay.plan.digests import digest
from assay.plan.names import nearest
from assay.text import clean

_HINT = 'approval("finance.month_close", version="v2c1d4e", by="cfo@shop.example", because="...")'
_VERSION = re.compile(rf"v?[0-9a-f]{{{SHORTEST - 1},}}")


def wrong_approvers(approvers: Sequence[str], needed: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the approvers of a product, each with what to write."""
    write = 'Write approval=["cfo@shop.example"], and approvals= for more than one of them.'
    names = [name.strip() for name in approvers]
    for number, name in enumerate(names):
        if not name or clean(name) != name:
            yield f"approval[{number}] {name[:40]!r} names nobody", write
        elif name.casefold() in {other.casefold() for other in names[:number]}:
            yield f"approval[{number}] names {name} a second time", write
    if needed < 1:
        yield f"approvals={needed} should be at least 1", "Take approval= away if nobody has to."
    elif needed > max(len(names), 1):
        yield f"approvals={needed}, and approval= names only {len(names)}", write
    elif needed > 1 and not names:
        yield f"approvals={needed}, and approval= names nobody", write


def with_approvals(products: Mapping[str, Product], names: Names) -> dict[str, Product]:
    """Return the products with the approvals that are declared of them; report wrong ones."""
    approvals: dict[str, list[Approval]] = {}
    for declared in names.approvals:
        where = names.relative(declared.where)
        product = products.get(str(declared.product))
        if product is None:
            hint = nearest(str(declared.product), products) or _HINT
            names.report(f"an approval of {declared.product!r}, which is no product", where, hint)
        elif approval := _read(declared, product, where, names):
            approvals.setdefault(product.name, []).append(approval)
    return {
        name: replace(product, approved=tuple(approvals[name])) if name in approvals else product
        for name, product in products.items()
    }


def _read(
    declared: ApprovalDeclaration, product: Product, where: Where, names: Names
) -> Approval | None:
    """Return a declared approval; None, and every problem reported, if it is wrong."""
    problems = list(_problems(declared, product))
    for what, hint in problems:
        names.report(f"an approval of {product.name}: {what}", where, hint)
    if problems:
        return None
    approval = Approval(
        id="",
        product=product.name,
        environment=declared.environment or names.config.environment,
        version=declared.version,
        approver=declared.by.strip(),
        because=clean(declared.because.strip()),
        author="",
    )
    id = f"a{digest(approval)[:11]}"  # where it stands does not count
    return replace(approval, id=id, author=str(where), where=str(where))


def _problems(declared: ApprovalDeclaration, product: Product) -> Iterator[tuple[str, str]]:
    given = ("version", "by", "because", "environment")
    wrong = [name for name in given if not is_text(getattr(declared, name))]
    for name in wrong:
        yield f"{name}={getattr(declared, name)!r} should be a text", _HINT
    if not product.approvers:
        yield (
            "it asks for none",
            f'Say who has to: approval=["cfo@shop.example"] ({product.where}).',
        )
    elif "by" not in wrong and declared.by.strip() not in product.approvers:
        yield (
            f"{declared.by!r} may not approve it",
            f"One of {', '.join(product.approvers)} ({product.where}).",
        )
    if "because" not in wrong and not declared.because.strip():
        yield "because= should say why", _HINT
    if "version" not in wrong and not _VERSION.fullmatch(declared.version):
        yield (
            f"version={declared.version[:40]!r} names no version",
            f"Write at least {SHORTEST} characters of it, as `products approvals` shows it.",
        )

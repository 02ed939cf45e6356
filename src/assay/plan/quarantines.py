"""The parts of rows that are set aside: how they belong to the parts that they were set aside of.

They are built with these, and are parts of the product `NAME__quarantine`, which finds them by what
they were built from: the content of the rows.
"""

from collections.abc import Mapping

from assay.decisions import InputState, KnownInput, UnknownInput
from assay.facts import Version
from assay.model import QUARANTINE, Code, Product
from assay.plan.digests import code_of, digest


def quarantine_name(product: str) -> str:
    """Return the name of the product that holds the rows that a product sets aside."""
    return f"{product}__{QUARANTINE}"


def quarantine_code(product: str) -> Code:
    """Return the code of the product that holds the rows that a product sets aside."""
    return code_of({QUARANTINE: digest(product)})


def aside_inputs(product: Product, content: str) -> dict[str, str]:
    """Return what a part of rows that were set aside uses, by alias; `content` is their digest."""
    return {product.bare: content}


def part_built_from(code: Code, key: str, inputs: Mapping[str, str]) -> str:
    """Return the digest of what a part is built from."""
    return digest([code.digest, key, dict(inputs)])


def asides_of(state: InputState, before: Version | None, alias: str) -> Mapping[str, str] | None:
    """Return the digests of the rows set aside of each part of an input; None when none is known.

    '' stands for a part that is not known yet. In a plan, the rows set aside of a part that exists
    are taken to be those of `before`: they exist, too.
    """
    match state:
        case KnownInput(origin=Version() as version) if version.in_parts:
            return {part.key: part.aside.digest if part.aside else "" for part in version.parts}
        case UnknownInput(part_digests=parts) if parts is not None:
            known = (
                {part.key: part.inputs.get(alias, "") for part in before.parts} if before else {}
            )
            return {key: known.get(key, "") if parts[key] else "" for key in parts}
    return None

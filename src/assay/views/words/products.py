"""Text about products as they are declared."""

from assay.facts import Version, short
from assay.model import Product, Source
from assay.plan.parts import partition_text


def parts_of(product: Product) -> str:
    """Return what a product is split by; '' for one that is not in parts."""
    if product.partition is None:
        return ""
    return f"by {partition_text(product.partition)}" + ("" if product.follows else ", cut")


def source_parts(source: Source) -> str:
    """Return what the files of a source are split by; '' for a source without parts."""
    if source.partition is None:
        return ""
    if source.partition.names == (source.name,):  # its path has no placeholder
        return "by file"
    return f"by {partition_text(source.partition)}"


def no_longer_declared(version: Version) -> str:
    """Return the note on a published product that is no longer declared."""
    command = f"`products retire {version.product}`"
    return f"no longer declared, readers still see {short(version.id)}: {command} ends that"

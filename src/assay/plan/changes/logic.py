"""The logic of a product: its code without what belongs to others."""

from collections.abc import Mapping

from assay.model import Product

_TYPES = "types"  # those of its contract, into which its columns are cast


def logic_of(product: Product) -> Mapping[str, str]:
    """Return the digest of each thing that the code of a product uses, by name.

    Left out are the types of its contract, which are compared as such, and the functions of
    products in the same module that have the names of its inputs: its parameters hide them.
    """
    hidden = {i.alias for i in product.inputs}
    return {
        name: digest
        for name, digest in product.code.reached.items()
        if name != _TYPES and not ("." in name and name.rpartition(".")[2] in hidden)
    }

"""`python -m assay` is the command `products`."""

from assay.cli import main

main(prog_name="products")

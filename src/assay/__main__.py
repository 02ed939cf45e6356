"""`python -m assay` is the command `products`."""

from assay.cli import run

run()

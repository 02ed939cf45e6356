"""`python -m assay` is the command `products`."""

from assay.cli.main import run

run()

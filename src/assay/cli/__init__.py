"""The command `products`: the only package that parses arguments, prints and handles signals."""

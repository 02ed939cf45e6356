"""The command `products`: the only package that parses arguments, prints, colours and handles signals."""

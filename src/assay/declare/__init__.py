"""What a user types, read into a project: words, imports, names, products, rules, code digests, the manifest."""

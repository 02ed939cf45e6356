"""The loop that watches a project: it builds what is due, again and again, until it is stopped."""

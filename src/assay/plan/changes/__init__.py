"""What changed between two revisions of the declarations, and what it does to each promise."""

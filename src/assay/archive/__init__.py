"""Evidence of a published version in one file, which can be kept and checked without the project."""

"""Reads files of sources: every declared value exactly, or an error that names the place."""

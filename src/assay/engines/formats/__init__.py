"""Reads files of sources: each declared column of each row, exactly, or an error that says where."""

"""Reads SQL: its canonical form, its tables, its clocks, and whether it can run part by part."""

"""Reads SQL: its canonical form, the tables it names, its clocks, and whether it can run part by part."""

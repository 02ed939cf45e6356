"""Judging a version part by part, so that only new parts are read.

Everything about totals that are put together from parts is in `totals` and `total_queries`.
"""

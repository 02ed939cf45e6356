"""Immutable files: writing them once, who reads them, who may, and what engines spill."""

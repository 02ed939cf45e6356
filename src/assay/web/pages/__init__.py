"""The values of each kind of page."""

"""The text of views, as a person reads it."""

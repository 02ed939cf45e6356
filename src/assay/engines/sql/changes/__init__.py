"""Says in words how one query differs from another."""

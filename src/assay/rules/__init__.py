"""Rules: a schema becomes a contract, and files are judged by it; only this package imports pandera."""

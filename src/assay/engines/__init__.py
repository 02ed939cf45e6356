"""What computes: DuckDB and Polars, how they read inputs, and how they stage results."""

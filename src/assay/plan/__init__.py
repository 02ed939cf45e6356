"""What to do next, and why: lineage, digests, the ladder, parts, retention. Pure: no clock, no disk, no engine."""

"""Answers to questions about products: status, history, lineage, rules, rows. Nothing builds."""

"""What a question about products answers: status, history, lineage, rules, rows. Nothing here builds."""

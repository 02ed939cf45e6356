"""Looking after what is stored: gc, verify, repair, rebuild."""

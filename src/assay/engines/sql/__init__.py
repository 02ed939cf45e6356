"""Reading SQL: its canonical form, the tables it names, its clocks, how it splits into parts."""

"""What verbs found, in the formats that CI systems read."""

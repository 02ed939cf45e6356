"""Files of sources as they are: each declared column of each row, exactly, or an error that says where."""

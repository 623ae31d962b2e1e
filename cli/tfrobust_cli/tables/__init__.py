"""What commands print: results as tables in the terminal."""

"""How every method is measured. Importing it loads no torch: a table of results needs the names alone."""

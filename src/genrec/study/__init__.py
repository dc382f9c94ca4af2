"""Studies: many runs from one yaml, a table of cells (`command`) or a search on validation (`tuning`)."""

"""The published identifiers that genrec compares with; the core never imports this package."""

"""What is read off trained runs: tables and figures, paired comparisons, and what a model calls its items."""

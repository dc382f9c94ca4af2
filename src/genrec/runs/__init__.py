"""Runs: where they lie, what a trained one is made of, and how it is taken up again."""

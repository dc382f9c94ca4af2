"""Configs: found and composed, parsed, compared, and what is wrong with them in one line."""

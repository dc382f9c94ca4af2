"""Files and what is said on the terminal: written whole or not at all, built once, quiet where libraries are loud."""

"""What the library does on one GPU: `README.md` in this folder says how to measure it."""

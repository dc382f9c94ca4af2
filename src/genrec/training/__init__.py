"""The commands that need a trainer: fit, test, validate, predict and prepare."""

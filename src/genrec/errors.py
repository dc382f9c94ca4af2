"""The one exception for bad input: the command line prints it as a single line and exits with code 2."""


def first_line(error: Exception) -> str:
    """What an error of a library says, as far as it is one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class GenrecError(ValueError):
    """Bad input, told to a person in one sentence: what is wrong, where, what to do."""

"""The one exception for bad input: the command line prints it as a single line and exits with code 2."""


class GenrecError(ValueError):
    """Bad input, told to a person in one sentence: what is wrong, where, what to do."""

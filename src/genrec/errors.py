"""The one exception for bad input: the command line prints it as a single line and exits with code 2."""


def first_line(error: Exception) -> str:
    """What an error of a library says, as far as it is one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def printable(text: str) -> str:
    """A text in which signs that break the line or steer a terminal are written out, whoever made it."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


class GenrecError(ValueError):
    """Bad input, told to a person in one sentence: what is wrong, where, what to do."""


def at_least(least: float, who: str, **values: float) -> None:
    """Whether arguments are large enough.

    Args:
        least: the smallest value that they may have.
        who: whose they are.
        values: by name.

    Raises:
        GenrecError: if one is smaller.
    """
    for name, value in values.items():
        if not value >= least:  # nor what is no number
            raise GenrecError(f"`{name}` of {who} is {value}: give {least} or more")

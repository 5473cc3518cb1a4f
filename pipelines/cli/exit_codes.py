"""Exit codes of the command, and how a refusal is said: one line on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

#: For the help of commands.
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 refused (recipe, arguments or data), 130 interrupted."


@contextmanager
def refusing(*errors: type[Exception], code: int = REFUSED) -> Iterator[None]:
    """Turns errors that a user can mend into one line and an exit code.

    Raises
    ------
    typer.Exit
        Where the block raised one of the errors.
    """
    try:
        yield
    except errors as error:
        # str() of a KeyError has quotes around it.
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        raise typer.Exit(code) from error


def refuse(message: str) -> typer.Exit:
    """Says what is wrong; gives what to raise."""
    print(f"error: {message}", file=sys.stderr)
    return typer.Exit(REFUSED)

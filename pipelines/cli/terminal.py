"""What a terminal can show: encodings that lack characters, readers that went away."""

import os
import sys
from typing import TextIO


def prepare_terminal() -> None:
    """Lets output go on where the encoding lacks a character: it becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def is_interactive(stream: TextIO) -> bool:
    """Whether a person watches: a terminal that can redraw lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Prints a line at once; where nobody reads any more, as after `| head`, work goes on."""
    stream = stream or sys.stdout
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

"""Tables in monospaced lines, for the terminal."""

from collections.abc import Iterator, Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in monospaced lines: words to the left, numbers to the right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences of str
        As wide as the header. The first column is aligned to the left, and each other one whose
        cells are not all numbers, dashes, ranges or empty.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [n > 0 and all(map(_is_numeric, column[1:])) for n, column in enumerate(columns)]
    for cells in (header, *rows):
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        yield ("  " + "   ".join(aligned)).rstrip()


def _is_numeric(cell: str) -> bool:
    return not cell.strip("0123456789.,–-+% ").replace("to", "").strip()

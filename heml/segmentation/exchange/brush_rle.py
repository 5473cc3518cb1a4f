"""Run lengths of Label Studio's brush, as its converter writes and reads them.

A stream of bits: the number of values (32 bits), the bits of a value less one (5), four widths less
one (4 each), then runs. A run says whether its values are equal (1 bit), which width its length has
(2), its length less one, and the value, or all values. Values are RGBA, so a mask is four times
itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heml.segmentation.exchange.form import FormError

_WIDTHS = (3, 4, 8, 16)
_VALUE = 8


def encode_brush(mask: np.ndarray) -> list[int]:
    """A mask as Label Studio's `rle`.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)

    Returns
    -------
    list of int
        Bytes.
    """
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    bits = [f"{len(values):032b}", f"{_VALUE - 1:05b}", *(f"{w - 1:04b}" for w in _WIDTHS)]
    most = 1 << _WIDTHS[-1]
    for length, end in zip(np.diff(ends, prepend=-1).tolist(), ends.tolist(), strict=True):
        while length:
            part = min(length, most)
            which = next(n for n, width in enumerate(_WIDTHS) if part <= 1 << width)
            bits.append(f"1{which:02b}{part - 1:0{_WIDTHS[which]}b}{values[end]:0{_VALUE}b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def decode_brush(rle: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask of `encode_brush`, or of the tool: where the opacity is above half.

    Parameters
    ----------
    rle : sequence of int
        Bytes.
    size : (int, int)
        Height and width.

    Returns
    -------
    ndarray of bool, shape (height, width)

    Raises
    ------
    FormError
        If these are no such run lengths of an image of this size.
    """
    height, width = size
    try:
        bits = np.unpackbits(np.array(rle, np.uint8))
        reader = _Bits(bits)
        count, value_bits = reader.read(32), reader.read(5) + 1
        widths = [reader.read(4) + 1 for _ in range(4)]
        if count != height * width * 4:
            raise FormError(f"brush strokes are {count} values, an image {width}×{height} × 4")
        values = np.empty(count, np.uint8)
        at = 0
        while at < count:
            equal = reader.read(1)
            end = at + 1 + reader.read(widths[reader.read(2)])
            if equal:
                values[at:end] = reader.read(value_bits)
            else:
                values[at:end] = [reader.read(value_bits) for _ in range(end - at)]
            at = end
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        if isinstance(error, FormError):
            raise
        raise FormError(f"brush strokes are no run lengths of Label Studio ({error})") from error
    return np.asarray(values.reshape(height, width, 4)[..., 3] > 127)


class _Bits:
    """Numbers from a stream of bits."""

    def __init__(self, bits: np.ndarray) -> None:
        self._text, self._at = "".join(map(str, bits.tolist())), 0

    def read(self, count: int) -> int:
        part = self._text[self._at : self._at + count]
        if len(part) < count:
            raise IndexError("they end early")
        self._at += count
        return int(part, 2)

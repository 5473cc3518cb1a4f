"""PNG chunks that Pillow refuses to read although the pixels beside them are fine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Texts and color profiles; Pillow refuses the file where one is longer than this, unpacked.
_TEXTS = (b"iCCP", b"iTXt", b"tEXt", b"zTXt")
_LONGEST = 1 << 20


def without_long_texts(data: bytes) -> bytes:
    """A PNG without its texts and profiles of more than 1 MiB; other data as they are.

    Parameters
    ----------
    data : bytes
        An encoded image of any format.

    Returns
    -------
    bytes
        The same object where nothing was taken out.
    """
    if not data.startswith(_SIGNATURE):
        return data
    long = [(start, end) for kind, start, end in _chunks(data) if _is_long(data, kind, start, end)]
    if not long:
        return data
    kept, last = [], 0
    for start, end in long:
        kept.append(data[last:start])
        last = end
    return b"".join([*kept, data[last:]])


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of every whole chunk."""
    start = len(_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            return
        yield kind, start, end
        start = end


def _is_long(data: bytes, kind: bytes, start: int, end: int) -> bool:
    if kind not in _TEXTS:
        return False
    content = data[start + 8 : end - 4]
    if len(content) > _LONGEST:
        return True
    rest = content.partition(b"\0")[2]  # after the keyword
    match kind:
        case b"iTXt":  # flag, method, language, translated keyword
            packed = rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""
        case b"tEXt":
            packed = b""
        case _:  # method
            packed = rest[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _LONGEST + 1)) > _LONGEST
    except zlib.error:  # Pillow skips what it cannot unpack
        return False

"""Messages between the decoder process and its parent: a JSON header and a binary body, both with their length.

Nothing is unpickled or evaluated, so a decoder compromised by a hostile file can at worst send wrong images. The reader
bounds both lengths.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

_HEADER = struct.Struct("<IQ")
HEADER_SIZE = _HEADER.size
MAX_JSON_BYTES = 1_000_000


class FramingError(Exception):
    """The byte stream is not a sequence of messages."""


def write_message(stream: BinaryIO, message: Mapping[str, object], body: bytes | memoryview = b"") -> None:
    """Write one message and flush it."""
    encoded = json.dumps(dict(message)).encode()
    stream.write(_HEADER.pack(len(encoded), len(body)))
    stream.write(encoded)
    stream.write(body)
    stream.flush()


def read_message(read_exactly: Callable[[int], bytearray], max_body: int) -> tuple[dict[str, Any], bytearray]:
    """Read one message.

    Args:
        read_exactly: Returns that many bytes or raises.
        max_body: Largest accepted body, bytes.

    Raises:
        FramingError: A length is out of bounds or the header is not JSON.
    """
    json_size, body_size = _HEADER.unpack(read_exactly(HEADER_SIZE))
    if json_size > MAX_JSON_BYTES or body_size > max_body:
        raise FramingError(f"message of {json_size} + {body_size} bytes")
    try:
        message = json.loads(read_exactly(json_size))
    except ValueError as error:
        raise FramingError("header is not JSON") from error
    if not isinstance(message, dict):
        raise FramingError("header is not an object")
    return message, read_exactly(body_size)


def read_messages(stream: BinaryIO, max_body: int) -> Iterator[tuple[dict[str, Any], bytearray]]:
    """Yield the messages of a stream until it ends, as for a child whose parent has ended.

    Raises:
        FramingError: As for ``read_message``.
    """

    def read_exactly(size: int) -> bytearray:
        content = stream.read(size)
        if len(content) < size:
            raise EOFError
        return bytearray(content)

    with suppress(EOFError):
        while True:
            yield read_message(read_exactly, max_body)

"""The decoder process of single images: reads them from standard input and writes their pixels to standard output.

Started by ``jpeg_decoder.JpegDecoder``. The first line holds the limits as JSON; each image is then one message.
"""

from __future__ import annotations

import json
import sys

from human3r.child_process import restrict_process
from human3r.errors import InputError
from human3r.video.framing import read_messages, write_message
from human3r.video.limits import MediaLimits
from human3r.video.sources.image_decoding import decode_image


def main() -> int:
    """Decode until the input ends."""
    limits = MediaLimits(**json.loads(sys.stdin.buffer.readline()))
    restrict_process({"AS": limits.child_memory_bytes, "CPU": limits.child_cpu_s, "FSIZE": 0})
    output = sys.stdout.buffer
    for _, encoded in read_messages(sys.stdin.buffer, limits.file_bytes):
        try:
            image, _ = decode_image(bytes(encoded), limits)
            write_message(output, {"size": image.shape[:2]}, image.tobytes())
        except InputError as error:
            write_message(output, {"error": error.message})
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A camera in the network: serves one H.264 stream by RTSP over TCP, as much of the protocol as a player asks for."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import av
import numpy as np

_SDP = "\r\n".join(
    [
        *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0", "m=video 0 RTP/AVP 96"),
        *("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", "a=control:track", ""),
    ]
)
_ANSWERS = {
    "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY", ""),
    "DESCRIBE": (f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}", _SDP),
    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1", ""),
    "PLAY": ("Session: 1", ""),
}
_SIZE, _FPS = (48, 64), 30
_RTCP = range(72, 77)


class RtspCamera:
    """Plays ``num_frames`` to whoever connects, then hangs up; use it in a ``with`` block.

    Args:
        num_frames: Of each connection.
        absent: Numbers of the connections, from 0, that are hung up at once.
    """

    def __init__(self, num_frames: int, absent: tuple[int, ...] = ()) -> None:
        self._num_frames, self._absent = num_frames, absent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/camera"
        self.num_connections = 0

    def __enter__(self) -> RtspCamera:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.num_connections += 1
                if self.num_connections - 1 in self._absent:
                    connection.close()
                else:
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as requests:
            while True:
                lines = list(iter(lambda: requests.readline().strip().decode(), ""))
                if not lines:
                    return
                method = lines[0].split()[0]
                number = next(line.split(":")[1] for line in lines if line.lower().startswith("cseq"))
                fields, body = _ANSWERS[method]
                connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq:{number}\r\n{fields}\r\n\r\n{body}".encode())
                if method == "PLAY":
                    self._play(connection)
                    connection.shutdown(socket.SHUT_RDWR)
                    return

    def _play(self, connection: socket.socket) -> None:
        """Wrap the packets that FFmpeg sends to a local port into the connection."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
            port.bind(("127.0.0.1", 0))
            port.settimeout(0.5)
            encoder = threading.Thread(target=self._encode, args=(port.getsockname()[1],), daemon=True)
            encoder.start()
            while True:
                try:
                    packet = port.recv(65536)
                except TimeoutError:
                    if not encoder.is_alive():
                        return
                    continue
                if packet[1] & 0x7F not in _RTCP:
                    connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)

    def _encode(self, port: int) -> None:
        options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1:keyint=5"}
        with av.open(f"rtp://127.0.0.1:{port}", "w", format="rtp") as container:
            video = container.add_stream("libx264", rate=_FPS, options=options)
            (video.height, video.width), video.pix_fmt = _SIZE, "yuv420p"
            start_s = time.monotonic()
            for index in range(self._num_frames):
                picture = np.full((*_SIZE, 3), 10 * index % 256, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                time.sleep(max(0.0, start_s + index / _FPS - time.monotonic()))

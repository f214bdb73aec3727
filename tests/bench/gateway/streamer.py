"""A stub model server for streams, lighter than what is measured: `python -m bench.gateway.streamer PORT`.

A request says in its body how many events it gets, and after how many milliseconds each (`asking`); none, and
no end, for 0. Each event has its number in its text.
"""

import asyncio
import re
import sys

import uvloop

WELL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
"""For whoever asks after its health."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = (
    b'data: {"id":"c-1","object":"chat.completion.chunk","created":1760000000,"model":"tiny",'
    b'"choices":[{"index":0,"delta":{"content":" %06d"},"finish_reason":null}]}\n\n'
)
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9}}\n\ndata: [DONE]\n\n'
ASKED = re.compile(rb"(\d+) events each (\d+) ms")


def asking(chunks: int, interval_ms: int) -> str:
    """For the text of a message, which every router passes on."""
    return f"{chunks} events each {interval_ms} ms"


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Streamer(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._sent = 0
        self._chunks = 0
        self._interval_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        asked = ASKED.search(data)
        if data.startswith(b"GET "):
            self.transport.write(WELL)
        if asked is None:
            return
        self._sent, self._chunks, self._interval_s = 0, int(asked[1]), int(asked[2]) / 1000
        self.transport.write(HEAD)
        self._again()

    def _again(self) -> None:
        if self._chunks:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._send)

    def _send(self) -> None:
        self.transport.write(chunk(TEXT % self._sent))
        self._sent += 1
        if self._sent < self._chunks:
            self._again()
        else:
            self.transport.write(chunk(USAGE) + b"0\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Streamer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

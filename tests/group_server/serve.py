"""Stands for an inference server on several machines, in vLLM's words: its parts find each other at the
master's address, the first serves once all are there, and none outlives another.

    serve.py --version
    serve.py serve MODEL --host H --port P --nnodes N --node-rank R --master-addr A --master-port M ...
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace

ANSWER = b'{"object": "text_completion", "choices": [{"text": "hi"}]}'


async def main(asked: Namespace) -> int:
    return await (first(asked) if asked.node_rank == 0 else other(asked))


async def first(asked: Namespace) -> int:
    lost = asyncio.Event()
    here = 0

    async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal here
        if await reader.readline() != b"part\n":
            writer.close()
            return
        here += 1
        if here == asked.nnodes - 1:
            await asyncio.start_server(serve, asked.host, asked.port)
        await reader.read()
        lost.set()

    await asyncio.start_server(part, asked.master_addr, asked.master_port)
    print("waits for the others", flush=True)
    await lost.wait()
    print("RuntimeError: connection closed by peer", flush=True)
    return 1


async def other(asked: Namespace) -> int:
    while True:
        try:
            reader, writer = await asyncio.open_connection(asked.master_addr, asked.master_port)
            break
        except OSError:
            await asyncio.sleep(0.05)
    writer.write(b"part\n")
    await reader.read()
    print("RuntimeError: connection closed by peer", flush=True)
    return 1


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths:
            await reader.readexactly(int(lengths[0].partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))


def parse(words: list[str]) -> Namespace:
    parser = ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("model")
    for flag in ("--host", "--master-addr", "--served-model-name", "--distributed-executor-backend"):
        parser.add_argument(flag)
    for flag in ("--port", "--nnodes", "--node-rank", "--master-port", "--tensor-parallel-size"):
        parser.add_argument(flag, type=int)
    parser.add_argument("--pipeline-parallel-size", type=int)
    parser.add_argument("--headless", action="store_true")
    return parser.parse_known_args(words)[0]


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("9.9.9")
        sys.exit(0)
    sys.exit(asyncio.run(main(parse(sys.argv[1:]))))

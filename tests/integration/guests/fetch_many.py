# SPDX-License-Identifier: MIT
"""fetch_many.py asyncio|aiohttp N HOST PORT COUNT SEED: N requests at a time; the bodies on standard output."""
import asyncio
import sys

HOW, N, HOST, PORT, COUNT, SEED = sys.argv[1], int(sys.argv[2]), *sys.argv[3:7]


async def by_streams():
    reader, writer = await asyncio.open_connection(HOST, int(PORT))
    assert writer.get_extra_info("peername")[:2] == (HOST, int(PORT))
    writer.write(f"GET /{COUNT}/{SEED} HTTP/1.0\r\n\r\n".encode())
    data = await reader.read()
    writer.close()
    return data.split(b"\r\n\r\n", 1)[1]


async def by_aiohttp(session):
    host = f"[{HOST}]" if ":" in HOST else HOST
    async with session.get(f"http://{host}:{PORT}/{COUNT}/{SEED}") as r:
        return await r.read()


async def main():
    if HOW == "asyncio":
        bodies = await asyncio.gather(*(by_streams() for _ in range(N)))
    else:
        import aiohttp
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            bodies = await asyncio.gather(*(by_aiohttp(session) for _ in range(N)))
    for body in bodies:
        sys.stdout.buffer.write(body)


asyncio.run(main())

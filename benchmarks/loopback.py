"""A provider on loopback that answers at once, in a process of its own: what is measured is the client.

python benchmarks/loopback.py LATENCY_MS    # prints its port, serves until it is killed
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator

from aiohttp import web

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
MESSAGE = {"role": "assistant", "content": "Fine."}
ANSWER = json.dumps(
    {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
    }
).encode()  # fmt: skip


async def serve(latency_s: float) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        return web.Response(body=ANSWER, content_type="application/json")

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def provider(latency_ms: int) -> Generator[str]:
    """Address of such a provider, for the length of the body."""
    process = subprocess.Popen([sys.executable, __file__, str(latency_ms)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) / 1000))

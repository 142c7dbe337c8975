"""The service as the command line starts it."""

import asyncio
import json
import socket
from urllib.request import urlopen

from whosings.service.server import bound


def test_it_says_where_it_is_and_writes_a_line_a_request(served):
    with urlopen(f"{served.address}/v1/about") as answer:
        about, request_id = json.loads(answer.read()), answer.headers["X-Request-Id"]
    assert (about["encoder"], about["singers"], about["needs_token"]) == ("fast", 2, False)
    line = served.line_of(request_id)
    assert (line["method"], line["route"], line["status"], line["caller"]) == ("GET", "/v1/about", 200, "")


def test_parts_of_an_answer_are_sent_at_once():
    async def sends_at_once():
        found = asyncio.get_running_loop().create_future()

        def come(reader, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = bound("127.0.0.1", 0)
        async with await asyncio.start_server(come, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            writer.close()
            return await found

    assert asyncio.run(sends_at_once())

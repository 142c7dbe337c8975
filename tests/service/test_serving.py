"""The service as the command line starts it."""

import json
from urllib.request import urlopen


def test_it_says_where_it_is_and_writes_a_line_a_request(served):
    with urlopen(f"{served.address}/v1/about") as answer:
        about, request_id = json.loads(answer.read()), answer.headers["X-Request-Id"]
    assert (about["encoder"], about["singers"], about["needs_token"]) == ("fast", 2, False)
    line = served.line_of(request_id)
    assert (line["method"], line["route"], line["status"], line["caller"]) == ("GET", "/v1/about", 200, "")

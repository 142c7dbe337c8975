#!/usr/bin/env bash
# Finding: s3fs gives files that never were, of the right length and without an error.
#
# Packages: s3fs 2026.9.0, fsspec 2026.9.0 (aiobotocore 3.10.0, aiohttp 3.14.5), against a server of S3's answers in this
# script.
#
# get_file and cat_file of an object that is larger than default_block_size (50 MiB unless given) ask for ranges at once.
# One would expect that they ask for ranges of one version, as open() does (If-Match), and notice a range that is shorter
# than asked for. Seen:
# 1. an object that is replaced by another one of its length while it is fetched comes as half of one and half of the
#    other;
# 2. where one range comes short, the file has its length all the same: it was made that long before, and holds zeros.
# So the length of what was fetched proves nothing.
# 3. A range whose connection breaks on the way is not asked for again, although a whole object below that size is.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 's3fs==2026.9.0' 'fsspec==2026.9.0' 'aiobotocore==3.10.0' 'aiohttp==3.14.5' 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import hashlib
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiobotocore
import aiohttp
import s3fs

SIZE, BLOCK = 300_000, 100_000
OLD, NEW = b"o" * SIZE, b"n" * SIZE
place = Path(sys.argv[1], "object")


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    what, asked = "", 0

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(200, OLD, {}, body=False)

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, SIZE - 1)
        cls = type(self)
        cls.asked += wanted is not None
        content = NEW if cls.what == "replaced" and first >= 2 * BLOCK else OLD
        data = content[first : last + 1]
        about = {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{SIZE}"} if wanted else {}
        hit = wanted is not None and first == BLOCK and cls.what in ("short", "cut")
        if hit and cls.what == "short":
            data = data[: len(data) // 2]
        self.answer(206 if wanted else 200, data, about, content, broken=hit and cls.what == "cut")

    def answer(self, status, data, about, whole=OLD, body=True, broken=False):
        self.send_response(status)
        etag = hashlib.md5(whole).hexdigest()
        given = {"ETag": f'"{etag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Content-Length": len(data)}
        for name, value in (given | about).items():
            self.send_header(name, str(value))
        self.end_headers()
        if broken:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
server.handle_error = lambda *_: None  # clients that close connections are none
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
print(f"s3fs {s3fs.__version__}, aiobotocore {aiobotocore.__version__}, aiohttp {aiohttp.__version__}")
store = s3fs.S3FileSystem(
    key="key", secret="secret", endpoint_url=url, default_block_size=BLOCK, client_kwargs={"region_name": "us-east-1"}
)
seen = {}
for what in ("well", "replaced", "short", "cut"):
    Store.what, Store.asked = what, 0
    try:
        store.get_file("bucket/key", str(place))
        got = place.read_bytes()
        seen[what] = f"{len(got)} bytes: {got.count(b'o')} of the old, {got.count(b'n')} of the new, {got.count(0)} zeros"
    except Exception as error:
        seen[what] = f"{type(error).__name__} after {Store.asked} ranges"
    print(f"{what}: {seen[what]}")
server.shutdown()
expected = {
    "well": "300000 bytes: 300000 of the old, 0 of the new, 0 zeros",
    "replaced": "300000 bytes: 200000 of the old, 100000 of the new, 0 zeros",
    "short": "300000 bytes: 250000 of the old, 0 of the new, 50000 zeros",
    "cut": "ClientPayloadError after 3 ranges",
}
sys.exit(seen != expected)
PYTHON

#!/usr/bin/env bash
# Finding: a conditional write conflicts with itself, although every retry is off: aiohttp sends it a second time.
#
# Packages: aiohttp 3.14.5 below aiobotocore 3.10.0 and s3fs 2026.9.0, against a server of S3's answers in this script.
#
# aiohttp sends a request again by itself where a connection that it had kept breaks before an answer comes, if the method
# is idempotent, and PUT is. With "If-None-Match: *" it is not: the store has done the first, and refuses the second.
#
# One would expect, with botocore's retries set to one attempt and s3fs's to one, a single request and a broken connection.
# Seen: two requests, and FileExistsError for an object that this very write has made. So FileExistsError after
# mode="create" does not say that somebody else was first.
#
# And where retries are on, as they are unless set otherwise, they multiply: a range of a server that always breaks the
# connection is asked for 250 times (2 by aiohttp, 5 by botocore, 5 and 5 by s3fs) in some minutes. That is not run here.
#
# The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 's3fs==2026.9.0' 'fsspec==2026.9.0' 'aiobotocore==3.10.0' 'aiohttp==3.14.5' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiobotocore
import aiohttp
import s3fs

asked, made = [], set()


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(200)

    def do_PUT(self):
        length = self.headers.get("Content-Length")
        if length:
            self.rfile.read(int(length))
        else:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        asked.append(self.headers.get("If-None-Match"))
        if self.path in made:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code><Condition>If-None-Match</Condition></Error>")
            return
        made.add(self.path)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)  # it is done, and the answer is lost

    def answer(self, status, data=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
server.handle_error = lambda *_: None  # clients that close connections are none
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"s3fs {s3fs.__version__}, aiobotocore {aiobotocore.__version__}, aiohttp {aiohttp.__version__}")
store = s3fs.S3FileSystem(
    key="key",
    secret="secret",
    endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
    client_kwargs={"region_name": "us-east-1"},
    config_kwargs={"retries": {"total_max_attempts": 1}},
)
store.retries = 1
store.info("bucket/other")  # leaves a connection that is kept
try:
    store.pipe_file("bucket/key", b"one", mode="create")
    seen = "no error"
except Exception as error:
    seen = type(error).__name__
print(f"{len(asked)} requests with If-None-Match: {asked[0]}; {seen}; objects made: {len(made)}")
server.shutdown()
sys.exit((len(asked), seen) != (2, "FileExistsError"))
PYTHON

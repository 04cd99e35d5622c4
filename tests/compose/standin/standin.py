"""Answers what is asked of Grafana and Jaeger at their start; counts the traces that are sent.

GET answers with the number of bytes that were posted to `/v1/traces`, by the media type.
"""

import json
import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

received: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(json.dumps(received).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            received[self.headers["Content-Type"]] += len(body)
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


host = os.environ.get("GF_SERVER_HTTP_ADDR", "")
ports = [int(os.environ["GF_SERVER_HTTP_PORT"])] if host else [16686, 4318]
servers = [ThreadingHTTPServer((host, port), Handler) for port in ports]
for server in servers[1:]:
    Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()

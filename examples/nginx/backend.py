"""Stands for a service in any language behind the proxy: it checks no credential and answers with what it was told.

    PORT=9000 python3 backend.py

It listens on this machine alone, so that nobody gets at it but by the proxy, and asks for X-Auth-Owner all the same.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = 0

    def answer(self):
        Handler.served += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {
            "served": Handler.served,
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.decode(errors="replace"),
        }
        is_known = self.headers.get("X-Auth-Owner") is not None
        self.reply(200 if is_known else 500, told)

    def reply(self, status, told):
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "9000"))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()

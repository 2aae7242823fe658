"""A web server that answers as a test says."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, str, bytes]


class Web:
    """A server whose answers a test gives, by the path and the number of requests before it.

    `logins` has the header `Authorization` of each request, empty where there was none.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.logins: list[str] = []
        self.answer: Callable[[str, int], Answer] = lambda _path, _number: (404, "text/plain", b"")
        web = self

        class Handler(BaseHTTPRequestHandler):
            """Answers as the test says; a length of more than the content is a connection that is cut."""

            def do_GET(self) -> None:
                """Answer."""
                web.logins.append(self.headers.get("Authorization", ""))
                web.requests.append(self.path)
                status, kind, content = web.answer(self.path, len(web.requests) - 1)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

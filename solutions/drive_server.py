"""A server on this machine that behaves like Google Drive's download pages, for tests and for the sample class.

    with DriveServer({"1a": file(checkpoint), "1b": missing(), "1c": quota()}) as drive:
        drive.link("1a")  # http://127.0.0.1:PORT/uc?export=download&id=1a

What a shared file does when it is asked for is an `Answer`; the functions below make them. A course reaches the server when its
course.toml says `[links]` `internal = ["http://127.0.0.1:PORT"]`.
"""

import itertools
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

Answer = Callable[["Request"], None]

SIGN_IN = "https://accounts.google.com/v3/signin/identifier?continue=https://drive.google.com/"


class Request(BaseHTTPRequestHandler):
    """One request; `drive` is the server, `query` the URL's parameters."""

    drive: "DriveServer"

    def do_GET(self) -> None:
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.drive.requests.append(self)
        with suppress(BrokenPipeError, ConnectionResetError):  # the other side has had enough, which is what some tests are about
            self.drive.shared.get(self.query.get("id", ""), missing())(self)

    def reply(self, status: int, data: bytes = b"", **headers: str) -> None:
        """Send an answer; `_` in a header's name stands for `-`."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def page(self, title: str, text: str, status: int = 200, **headers: str) -> None:
        """Send an HTML page."""
        html = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>\n{text}\n</body></html>\n"
        self.reply(status, html.encode(), Content_Type="text/html; charset=utf-8", **headers)

    @property
    def at_content_host(self) -> bool:
        return urlsplit(self.path).path == "/download"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def file(data: bytes, name: str = "handin.pt") -> Answer:
    """A shared file: a redirect to the host that holds the contents, then the file."""

    def answer(request: Request) -> None:
        if request.at_content_host:
            request.reply(
                200, data, Content_Type="application/octet-stream", Content_Disposition=f'attachment; filename="{name}"'
            )
        else:
            request.reply(303, Location=request.drive.content_address(request.query["id"]))

    return answer


def confirmed(data: bytes) -> Answer:
    """A file too large to be scanned for viruses: a page whose form must be sent, with the cookie that came with the page."""

    def answer(request: Request) -> None:
        if not request.at_content_host:
            request.reply(303, Location=request.drive.content_address(request.query["id"]))
            return
        agreed = request.query.get("confirm") == "t" and request.query.get("uuid") == "5e1f"
        if agreed and "download_warning=yes" in request.headers.get("Cookie", ""):
            file(data)(request)
            return
        action = f"{request.drive.content_origin}/download"
        hidden = {"id": request.query["id"], "export": "download", "confirm": "t", "uuid": "5e1f"}
        inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in hidden.items())
        form = f'<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>{inputs}</form>'
        warning = '<a href="https://accounts.google.com/ServiceLogin">Sign in</a> <p>Google Drive can\'t scan this file for viruses.</p>'
        request.page("Google Drive - Virus scan warning", f"{warning}\n{form}", Set_Cookie="download_warning=yes; Path=/")

    return answer


def missing() -> Answer:
    """No such file, or not any more."""
    return lambda request: request.page("Error 404 (Not Found)!!1", "<p>The requested URL was not found on this server.</p>", 404)


def forbidden() -> Answer:
    """A file that is not shared, as Drive's content host says it."""
    return lambda request: request.page("Error 403 (Forbidden)!!1", "<p>You do not have access to this page.</p>", 403)


def sign_in() -> Answer:
    """A file that is not shared, as drive.google.com says it: go and sign in."""
    return lambda request: request.reply(302, Location=SIGN_IN)


def sign_in_page() -> Answer:
    """The same as a page."""
    return lambda request: request.page("Sign in - Google Accounts", f'<form action="{SIGN_IN}">Sign in to continue</form>')


def quota(status: int = 200) -> Answer:
    """A file that too many have downloaded."""
    caption = '<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>'
    text = (
        '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try again later.</p>'
    )
    return lambda request: request.page("Google Drive - Quota exceeded", f"{caption}{text}", status)


def refused(reason: str) -> Answer:
    """A page of Drive's that says why there is no download."""
    return lambda request: request.page("Google Drive", f'<p class="uc-error-subcaption">{reason}</p>')


def page(title: str = "handin.pt - Google Drive", text: str = "<div>Preview of handin.pt</div>") -> Answer:
    """An HTML page in place of the file."""
    return lambda request: request.page(title, text)


def redirect(url: str) -> Answer:
    """Somewhere else."""
    return lambda request: request.reply(302, Location=url)


def failing(then: Answer, *, times: int = 1, status: int = 500, retry_after: str = "") -> Answer:
    """An error the first few times, and then another answer."""
    count = itertools.count(1)
    return lambda request: request.reply(status, Retry_After=retry_after) if next(count) <= times else then(request)


def cut_off(data: bytes, then: Answer | None = None, *, times: int = 1) -> Answer:
    """A transfer that ends half-way; always, or the first few times before another answer."""
    count = itertools.count(1)

    def answer(request: Request) -> None:
        if then is not None and next(count) > times:
            then(request)
        else:
            request.reply(200, data[: len(data) // 2], Content_Type="application/octet-stream", Content_Length=str(len(data)))

    return answer


def endless(chunk: bytes = bytes(2**16)) -> Answer:
    """A body that never ends and whose size is not announced."""

    def answer(request: Request) -> None:
        request.reply(200, Content_Type="application/octet-stream", Content_Length="")
        while True:
            request.wfile.write(chunk)

    return answer


def dripping(data: bytes, *, every_s: float) -> Answer:
    """A byte now and then, so that no read ever times out; the size is not announced."""

    def answer(request: Request) -> None:
        request.reply(200, Content_Type="application/octet-stream", Content_Length="")
        for byte in data:
            request.wfile.write(bytes([byte]))
            if request.drive.stopped.wait(every_s):
                return

    return answer


def silent() -> Answer:
    """No answer until the server stops."""
    return lambda request: (request.drive.stopped.wait(60), None)[1]


class DriveServer:
    """The server; a context manager.

    shared: id -> what happens when it is asked for; may be changed at any time. tls: for https. origin: where it is reached;
    content_origin: where it sends on to for contents, as Drive does; both its own address by default. requests: all that came.
    """

    def __init__(
        self,
        shared: Mapping[str, Answer] | None = None,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        content_origin: str | None = None,
    ) -> None:
        self.shared = dict(shared or {})
        self.requests: list[Request] = []
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("DriveRequest", (Request,), {"drive": self}))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.content_origin = content_origin or self.origin
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def link(self, id: str) -> str:
        """The download link of a shared file on this server."""
        return f"{self.origin}/uc?export=download&id={id}"

    def content_address(self, id: str) -> str:
        """Where the contents of a shared file are."""
        return f"{self.content_origin}/download?id={id}&export=download"

    def asked(self, id: str) -> int:
        """How often a shared file's contents or pages were asked for."""
        return sum(request.query.get("id") == id for request in self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

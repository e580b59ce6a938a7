"""What a server's answer means: go on, try again, or whose fault it is that there is no file."""

import re
import urllib.parse
from collections.abc import Iterator

import requests

from grader.errors import CheckpointError, UngradedError
from grader.fetching import drive
from grader.fetching.pace import retry_after

CHUNK = 64 * 2**10

_REDIRECTS = (301, 302, 303, 307, 308)
_GONE = (400, 404, 410)
_FORBIDDEN = (401, 403, 451)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_LOGIN = re.compile(r"(accounts|login|signin|idp|sso|auth)\.")


class TransientError(Exception):
    """It may work a little later.

    after_s: how long the server asks to wait; None where it says nothing.
    """

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


def redirect(response: requests.Response) -> str | None:
    """Where the answer sends on to; None where it is an answer itself.

    Raises:
        CheckpointError: to a page to sign in at.
        UngradedError: to Google's page for robots.
    """
    target = response.headers.get("Location")
    if response.status_code not in _REDIRECTS or not target:
        return None
    url = urllib.parse.urljoin(response.url, target.encode("latin-1").decode("utf-8", "replace"))
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if host.endswith("google.com") and parts.path.startswith("/sorry"):
        raise UngradedError("Google takes the grader for a robot, and asks it to stop for a while")
    if _LOGIN.match(host):
        raise CheckpointError(drive.NOT_SHARED)
    return url


def expect_success(response: requests.Response) -> None:
    """Do nothing if the answer is a success.

    Raises:
        CheckpointError: there is no such file, or it is not shared.
        UngradedError: not the student's fault, and not over soon.
        TransientError: the server is busy or broken.
    """
    status, host = response.status_code, urllib.parse.urlsplit(response.url).hostname
    if status == 200:
        return
    if status in _BUSY:
        raise TransientError(
            f"{host} answers with an error of its own ({status} {response.reason})",
            retry_after(response.headers.get("Retry-After")),
        )
    drive.expect_served(page_text(response))
    if status in _GONE:
        raise CheckpointError(
            f"there is no file at the link ({status}): it was deleted, or the link is incomplete; share the file once more"
        )
    if status in _FORBIDDEN:
        raise CheckpointError(f"{drive.NOT_SHARED} ({status})")
    raise UngradedError(f"{host} gave an answer that the grader does not understand ({status} {response.reason})")


def is_page(response: requests.Response) -> bool:
    """Whether a page came that a browser would show, rather than a file."""
    attached = response.headers.get("Content-Disposition", "").lower().startswith("attachment")
    return response.headers.get("Content-Type", "").lower().startswith("text/html") and not attached


def page_text(response: requests.Response) -> str:
    """The beginning of a page."""
    data = b""
    for chunk in body(response):
        data += chunk
        if len(data) >= drive.LARGEST_PAGE:
            break
    return data[: drive.LARGEST_PAGE].decode("utf-8", "replace")


def announced_size(response: requests.Response) -> int | None:
    """Bytes that the server says will come."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def body(response: requests.Response) -> Iterator[bytes]:
    """The contents in pieces; a body that is shorter than announced is an error of the connection."""
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        error.request = response.request  # which requests leaves out here
        raise

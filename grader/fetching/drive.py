"""What Google Drive's links mean, and what its pages say; gdown knows both."""

import html
import re
import urllib.parse

from grader.errors import CheckpointError, UngradedError

LARGEST_PAGE = 512 * 2**10
"""Bytes of a page that are read."""

_HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
_FOLDER = re.compile(r"/drive/(.*/)?(folders|my-drive|shared-with-me|recent)(/|$)|/folderview")
_DOCUMENT = re.compile(r"/(document|spreadsheets|presentation|forms|drawings)/")
_WORKSPACE = re.compile(r"^/a/[^/]+(?=/)")
"""Universities' links: drive.google.com/a/example.edu/file/d/…"""
_MAKES_SENSE = re.compile(r"[\w-]+")
_TELLING = re.compile(r'download-form|/uc\?export=download|"downloadUrl"|uc-error-subcaption')
"""Lines of a page that gdown's parser can do something with."""
_QUOTA = re.compile(r"(?i)too many users have viewed or downloaded|quota (has been )?exceeded|unusual traffic|automated queries")
_SIGN_IN = re.compile(
    r"(?i)accounts\.google\.com/(v3/)?(signin|servicelogin)|you need (access|permission)|request access|sign in to continue"
)
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_TAG = re.compile(r"(?s)<[^>]*>")

NOT_SHARED = (
    "the file is not shared: its host asks to sign in; in Google Drive choose Share, General access, ‘Anyone with the link’, try the "
    "link in a private browser window, and tell your instructor"
)
_EXPECTED = "expected a link to the checkpoint file itself: in Google Drive, right-click handin.pt, Share, Copy link"


def full_link(link: str) -> str:
    """The link with its scheme, where it was written without."""
    text = link.strip().removeprefix("//")
    return text if re.match(r"(?i)[a-z][a-z0-9+.-]*://", text) else f"https://{text}"


def download_address(link: str) -> str:
    """Where the file of a share link is downloaded; a link to another host stays as it is.

    Raises:
        CheckpointError: the link leads to a folder, to a Google document or to a notebook, or is incomplete.
    """
    url = full_link(link)
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".")
    if host == "colab.research.google.com":
        raise CheckpointError(f"the link leads to a Colab notebook; {_EXPECTED}")
    if host not in _HOSTS:
        return url
    path = _WORKSPACE.sub("", parts.path)
    if _FOLDER.match(path):
        raise CheckpointError(f"the link leads to a folder; {_EXPECTED}")
    if _DOCUMENT.match(path):
        raise CheckpointError(f"the link leads to a Google document; {_EXPECTED}")
    query = urllib.parse.parse_qs(parts.query)
    wanted = {"export": "download", "id": _file_id(path, parts.query)}
    wanted |= {"resourcekey": query["resourcekey"][0]} if "resourcekey" in query else {}
    return f"https://drive.google.com/uc?{urllib.parse.urlencode(wanted)}"


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError as error:
        raise CheckpointError(f"the link cannot be read ({error}); {_EXPECTED}") from error


def _file_id(path: str, query: str) -> str:
    from gdown.parse_url import parse_url  # half a second, for classes that hand in links only

    # gdown knows the forms of drive.google.com; those of drive.usercontent.google.com have the id in the query as well.
    found, _ = parse_url(f"https://drive.google.com{path}?{query}")
    if not found or not _MAKES_SENSE.fullmatch(found):
        raise CheckpointError(f"the link names no file in Google Drive; {_EXPECTED}")
    return found


def next_address(page: str, url: str) -> str:
    """Where the page that came in place of a file leads: Drive asks to confirm the download of what it cannot scan for viruses.

    Raises:
        CheckpointError: the page says that the file is not shared or not given, or it is no page of Drive's.
        UngradedError: the page says that Google will not serve the file now.
    """
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    expect_served(page)
    telling = "\n".join(line for line in page.splitlines() if _TELLING.search(line))
    if not telling:
        raise CheckpointError(NOT_SHARED if _SIGN_IN.search(page) else f"{_what(page)}; {_EXPECTED}")
    try:
        return urllib.parse.urljoin(url, get_url_from_gdrive_confirmation(telling))
    except FileURLRetrievalError as error:
        raise CheckpointError(f"Google Drive does not give the file: ‘{_plain(str(error))}’; {_EXPECTED}") from error
    except (AssertionError, KeyError, ValueError) as error:  # a form unlike those that gdown knows
        raise CheckpointError(f"{_what(page)}; {_EXPECTED}") from error


def expect_served(page: str) -> None:
    """Raise UngradedError where a page says that Google will not serve the file now, for no fault of the student's."""
    if _QUOTA.search(page):
        raise UngradedError(
            "Google Drive’s quota is exceeded: too many have viewed or downloaded this file recently; it can take up to 24 hours until "
            "the file can be fetched"
        )


def _what(page: str) -> str:
    title = _TITLE.search(page)
    named = f" (‘{_plain(title[1])}’)" if title and _plain(title[1]) else ""
    return f"the link leads to an HTML page{named}, not to a file"


def _plain(html_text: str) -> str:
    """The text of a piece of a page, on one line, cut to what fits a message."""
    return " ".join(html.unescape(_TAG.sub(" ", html_text)).split())[:160]

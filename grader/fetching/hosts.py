"""Which addresses on the web a link may lead to: the [links] table of course.toml."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, field_validator
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from grader.errors import CheckpointError

GOOGLE_DRIVE = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com", "*.googleusercontent.com")
"""Hosts that a shared file of Google Drive comes from."""
PORTS = {"https": 443, "http": 80}

_HOST = re.compile(r"(\*\.[a-z0-9-]+\.)?([a-z0-9-]+\.)*[a-z0-9-]+")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")


class LinkSettings(BaseModel):
    """The [links] table of course.toml.

    hosts: public hosts besides Google Drive's, reached by https; `*.host` stands for all below a host.
    internal: servers of one's own, written `https://host` or `http://host:port`; they alone may have private addresses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    hosts: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_matching(_HOST, host, "a host such as www.dropbox.com or *.dropboxusercontent.com") for host in hosts)

    @field_validator("internal")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        wanted = "a server such as https://files.example.edu or http://10.0.0.5:8000"
        found = tuple(_matching(_ORIGIN, origin.rstrip("/"), wanted) for origin in origins)
        if wrong := [origin for origin in found if not _is_address(origin)]:
            raise ValueError(f"{wrong[0]!r} is not {wanted}")
        return found


def _matching(pattern: re.Pattern[str], text: str, expected: str) -> str:
    if not pattern.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not {expected}")
    return text.lower()


@dataclass(frozen=True)
class Address:
    """Where a URL leads: scheme, host in lower case, port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        usual = self.port == PORTS.get(self.scheme)
        return self.host if usual else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Hosts:
    """The list of hosts that may be asked: Google Drive's and what the course adds."""

    public: tuple[str, ...]
    internal: frozenset[Address]

    def expect_listed(self, url: str) -> Address:
        """The address of a URL that may be asked.

        Raises:
            CheckpointError: no such URL, not https, or a host that is not on the list.
        """
        found = address(url)
        if found in self.internal:
            return found
        if not any(_matches(found.host, pattern) for pattern in self.public):
            raise CheckpointError(
                f"the link leads to {found}, from where no files are taken; expected one of {', '.join(self._names())}: put the "
                "checkpoint there, or into the hand-in itself"
            )
        if (found.scheme, found.port) != ("https", PORTS["https"]):
            raise CheckpointError(
                f"{found.host} is asked by https alone, at its usual port; expected a link https://{found.host}/…"
            )
        return found

    def may_be_private(self, host: str, port: int) -> bool:
        """Whether the course itself says that this server is inside its own network."""
        return any((host.lower(), port) == (known.host, known.port) for known in self.internal)

    def _names(self) -> Iterable[str]:
        return (*self.public, *sorted(map(str, self.internal)))


def allowed_hosts(settings: LinkSettings) -> Hosts:
    """The list for a course."""
    return Hosts((*GOOGLE_DRIVE, *settings.hosts), frozenset(map(address, settings.internal)))


def address(url: str) -> Address:
    """Where a URL leads, as the connection will understand it.

    Raises:
        CheckpointError: it is no URL of the web.
    """
    parts = _parsed(url)
    host = (parts.host or "").rstrip(".").lower()
    if parts.scheme not in PORTS or not host or parts.auth:
        raise CheckpointError(
            f"{url[:200]!r} is no address on the web; expected a share link, such as https://drive.google.com/file/d/…"
        )
    return Address(parts.scheme, host, parts.port or PORTS[parts.scheme])


def _is_address(url: str) -> bool:
    try:
        return bool(address(url))
    except CheckpointError:
        return False


def _parsed(url: str) -> Url:
    try:
        return parse_url(url)
    except (LocationParseError, UnicodeError, ValueError) as error:
        raise CheckpointError(f"the link cannot be read ({error}); copy the share link once more") from error


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern

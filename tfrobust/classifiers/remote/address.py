"""The address of an endpoint, taken apart and checked before anything is sent to it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse
from collections.abc import Collection

from tfrobust.errors import UsageError, printable

_SCHEMES = ("http", "https", "grpc", "grpcs")
_NAME = re.compile(r"[\w.-]{1,200}")
_FORMS = "http(s)://HOST:PORT/v1/models/NAME[/versions/N] or grpc(s)://HOST:PORT/NAME[/versions/N]"
_PORTS = {"http": 80, "https": 443, "grpc": 8500, "grpcs": 443}


@dataclasses.dataclass(frozen=True)
class Address:
    """Where an endpoint is.

    Attributes:
        scheme: `http`, `https`, `grpc` or `grpcs`.
        host: a name or an address.
        port: of the server.
        before: what stands before `/v1/models` in the path, such as that of a gateway.
        model: the name that the model is served by.
        version: the one that is asked for; `None`: the one that the server answers with.
    """

    scheme: str
    host: str
    port: int
    before: str
    model: str
    version: int | None

    @property
    def grpc(self) -> bool:
        """Whether the protocol is gRPC; else it is REST."""
        return self.scheme.startswith("grpc")

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "grpcs")

    @property
    def place(self) -> str:
        """`HOST:PORT`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as it is written down: the same for every way of typing it."""
        version = "" if self.version is None else f"/versions/{self.version}"
        models = "" if self.grpc else f"{self.before}/v1/models"
        return f"{self.scheme}://{self.place}{models}/{self.model}{version}"

    @property
    def loopback(self) -> bool:
        """Whether it is on this very machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check_owned(self, owned: Collection[str]) -> None:
        """Refuse to ask somebody else's server.

        Args:
            owned: the hosts that the user vouches for.

        Raises:
            UsageError: it is not among them.
        """
        if not self.loopback and self.host not in {host.lower() for host in owned}:
            raise UsageError(
                f"{self.host}: attack only what is yours, or what you have leave to test; if it "
                f"is, say so by --i-own-this {self.host}"
            )


def is_address(text: str) -> bool:
    """Tell whether a classifier's name is the address of an endpoint."""
    return text.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def parsed(text: str) -> Address:
    """Return the address that a text means.

    Raises:
        UsageError: it is none, or holds a password or more than an address.

    Example:
        >>> parsed("http://localhost:8501/v1/models/digits/versions/3").version
        3
    """
    if "@" in text:  # first: no other refusal may print what stands before it
        raise UsageError(
            "a password in an address would stand in results; leave out what stands before the "
            "'@', and give --auth env:VARIABLE or file:PATH"
        )
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise UsageError(f"{printable(text, 200)}: expected {_FORMS}") from error
    grpc = parts.scheme.startswith("grpc")
    form = r"/(?P<model>[^/]+)" if grpc else r"(?P<before>.*)/v1/models/(?P<model>[^/]+)"
    found = re.fullmatch(rf"{form}(?:/versions/(?P<version>[0-9]{{1,15}}))?/?", parts.path)
    known = parts.scheme in _SCHEMES and host and not (parts.query or parts.fragment)
    if not known or found is None or not _NAME.fullmatch(found["model"]):
        raise UsageError(f"{printable(text, 200)}: expected {_FORMS}")
    before = "" if grpc else found["before"]
    if not re.fullmatch(r"(/[\w.~-]+)*", before):
        raise UsageError(f"{printable(text, 200)}: expected {_FORMS}")
    version = None if found["version"] is None else int(found["version"])
    return Address(parts.scheme, host, port, before, found["model"], version)

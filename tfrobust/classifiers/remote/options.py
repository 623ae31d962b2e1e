"""How an endpoint is asked: limits, speed, authentication, and what of its answers is read."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from pathlib import Path
from typing import Literal

from tfrobust.errors import UsageError
from tfrobust.types import ImageShape

Encoding = Literal["numbers", "png"]
_LONGEST = 64 * 1024  # bytes of a secret
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteOptions:
    """How an endpoint is asked.

    A query is one image in one request that leaves. A request that is sent again counts again,
    unless the one before it certainly never left.

    Attributes:
        max_queries: over the whole run, interruptions included; `None`: no limit.
        queries_per_image: that one attack may ask about one image, answers from the cache
            included, requests that are sent again not; `None`: no limit.
        batch: images a request, at most.
        concurrency: requests at once.
        requests_per_second: at most; `None`: no limit.
        timeout: seconds to wait for a connection, and for an answer.
        retries: how often a request is sent again that failed for a passing reason.
        probe_every: requests after which an image is asked again to see whether the answers are
            still those of the same model; 0: never.
        auth: where the value of the authentication header lies: `env:VARIABLE` or `file:PATH`.
        auth_header: the name of that header.
        ca_file: certificates of authorities to trust instead of the usual ones, PEM.
        owned: hosts that the user may attack; a loopback address needs no such word.
        signature: of the served model.
        output: of the signature; `None`: `logits`, else `probabilities`, else the only one.
        num_classes: of an endpoint that answers in labels alone.
        image_shape: `(height, width, channels)` of the images that are sent, where the endpoint
            does not say it; picture files of this size.
        encoding: `numbers` or `png`, where the endpoint does not say what it takes.
        feature: of the `tf.Example` that holds the image, of an endpoint with the Classify API;
            `None`: `image_bytes` of PNG files, `images` of numbers.
        labels: a file with the names of the classes, one a line, in their order.
        stochastic: whether the endpoint is known to draw at random: no answers are kept then.
        cache: the SQLite file that answers are kept in; `None`: in memory.

    Raises:
        UsageError: a number out of range, or authentication of another form.

    Example:
        >>> load("http://localhost:8501/v1/models/digits",
        ...      options=LoadOptions(remote=RemoteOptions(max_queries=1000)))
    """

    max_queries: int | None = None
    queries_per_image: int | None = None
    batch: int = 32
    concurrency: int = 4
    requests_per_second: float | None = None
    timeout: float = 30.0
    retries: int = 5
    probe_every: int = 200
    auth: str | None = None
    auth_header: str = "Authorization"
    ca_file: Path | None = None
    owned: tuple[str, ...] = ()
    signature: str = "serving_default"
    output: str | None = None
    num_classes: int | None = None
    image_shape: ImageShape | None = None
    encoding: Encoding | None = None
    feature: str | None = None
    labels: Path | None = None
    stochastic: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not (least <= value < math.inf):
                raise UsageError(f"{name}: expected {least} or more; received: {value}")
        for name in ("requests_per_second", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name}: expected a number above 0; received: {value}")
        if self.encoding not in (None, "numbers", "png"):
            raise UsageError(f"encoding: expected numbers or png; received: {self.encoding!r}")
        if self.image_shape is not None and not all(0 < n <= 2**16 for n in self.image_shape):
            raise UsageError(
                "image_shape: expected height, width and channels, such as 28,28,1; received: "
                f"{','.join(map(str, self.image_shape))}"
            )
        if self.auth is not None and not re.fullmatch(r"(env|file):.+", self.auth):
            raise UsageError(
                "auth: expected env:VARIABLE or file:PATH, which hold the header's value; a secret "
                "itself does not belong on the command line"
            )
        if not _HEADER.fullmatch(self.auth_header):
            raise UsageError(f"auth_header: expected a header; received: {self.auth_header!r}")

    def headers(self) -> dict[str, str]:
        """Return the authentication header, read where it lies now; none: no headers.

        Raises:
            UsageError: there is nothing, or no single line.
        """
        if self.auth is None:
            return {}
        kind, _, place = self.auth.partition(":")
        secret = os.environ.get(place, "") if kind == "env" else _read(Path(place))
        secret = secret.strip()
        if not secret:
            raise UsageError(f"auth: {self.auth} is empty or not set; put the header's value there")
        if not (secret.isascii() and secret.isprintable()):
            raise UsageError(f"auth: {self.auth}: expected one line of ASCII characters")
        return {self.auth_header: secret}

    def read_secrets(self) -> RemoteOptions:
        """Return the options, after trying whether secret and certificates can be read.

        Raises:
            UsageError: one of them cannot.
        """
        self.headers()
        if self.ca_file is not None and not self.ca_file.is_file():
            raise UsageError(f"ca_file: {self.ca_file}: there is no such file")
        return self


_LEAST = {
    "max_queries": 1,
    "queries_per_image": 1,
    "batch": 1,
    "concurrency": 1,
    "retries": 0,
    "probe_every": 0,
    "num_classes": 2,
}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"auth: {path}: cannot be read as text; check its path") from error

"""The options of every command that asks endpoints, declared once.

`@asks_endpoints` gives them to a command, which receives one argument `remote`: `Remote`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.errors import UsageError
from tfrobust.files.output_folders import ANSWERS
from tfrobust_cli.options.declared import MOST
from tfrobust_cli.options.groups import option_group

_PANEL = "Endpoints"


def _number(help: str, *, least: int = 1) -> Any:  # noqa: A002
    return typer.Option(help=help, min=least, max=MOST, rich_help_panel=_PANEL)


def _word(*names: str, help: str, metavar: str) -> Any:  # noqa: A002
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_PANEL)


MaxQueries = Annotated[int | None, _number("Images that may be sent in the whole run.")]
PerImage = Annotated[int | None, _number("Queries of one attack about one image.")]
RemoteBatch = Annotated[int, _number("Images in a request, at most.")]
Concurrency = Annotated[int, _number("Requests at once.")]
Rate = Annotated[
    float | None,
    typer.Option(
        "--requests-per-second", help="Requests a second, at most.", rich_help_panel=_PANEL
    ),
]
Timeout = Annotated[
    float, typer.Option(help="Seconds to wait for an answer.", rich_help_panel=_PANEL)
]
Retries = Annotated[int, _number("Times a failed request is sent again.", least=0)]
ProbeEvery = Annotated[
    int, _number("Requests after which one image is asked again; 0: never.", least=0)
]
Auth = Annotated[
    str | None,
    _word(
        help="Where the authentication header's value lies: env:VARIABLE or file:PATH.",
        metavar="PLACE",
    ),
]
AuthHeader = Annotated[str, _word(help="Name of that header.", metavar="NAME")]
CaFile = Annotated[
    Path | None, _word(help="Certificates of authorities to trust, PEM.", metavar="FILE")
]
Owned = Annotated[
    list[str] | None,
    _word(
        "--i-own-this", help="Host that you may attack; asked for beyond loopback.", metavar="HOST"
    ),
]
Signature = Annotated[str, _word(help="Signature of the served model.", metavar="NAME")]
Output = Annotated[
    str | None,
    _word(
        "--output",
        help="Output with the scores; default: logits, else probabilities.",
        metavar="NAME",
    ),
]
NumClasses = Annotated[
    int | None, _number("Classes of an endpoint that answers in labels alone.", least=2)
]
ImageShape = Annotated[
    str | None,
    _word(
        "--image-shape",
        help="Size of sent images, where the endpoint does not say it.",
        metavar="HEIGHT,WIDTH,CHANNELS",
    ),
]
Encoding = Annotated[
    str | None,
    _word(
        "--encoding",
        help="Send numbers or png, where the endpoint does not say it.",
        metavar="HOW",
    ),
]
Feature = Annotated[
    str | None,
    _word("--feature", help="Feature of an example, of the Classify API.", metavar="NAME"),
]
Labels = Annotated[
    Path | None,
    _word("--labels", help="Names of an endpoint's classes, one a line.", metavar="FILE"),
]
Stochastic = Annotated[
    bool,
    typer.Option(
        "--stochastic",
        help="It draws at random: keep no answers.",
        rich_help_panel=_PANEL,
    ),
]
_DEFAULTS = RemoteOptions()
_DECLARED: dict[str, tuple[Any, Any]] = {
    "max_queries": (MaxQueries, None),
    "queries_per_image": (PerImage, None),
    "remote_batch": (RemoteBatch, _DEFAULTS.batch),
    "concurrency": (Concurrency, _DEFAULTS.concurrency),
    "requests_per_second": (Rate, None),
    "timeout": (Timeout, _DEFAULTS.timeout),
    "retries": (Retries, _DEFAULTS.retries),
    "probe_every": (ProbeEvery, _DEFAULTS.probe_every),
    "auth": (Auth, None),
    "auth_header": (AuthHeader, _DEFAULTS.auth_header),
    "ca_file": (CaFile, None),
    "i_own_this": (Owned, None),
    "signature": (Signature, _DEFAULTS.signature),
    "output": (Output, None),
    "num_classes": (NumClasses, None),
    "image_shape": (ImageShape, None),
    "encoding": (Encoding, None),
    "feature": (Feature, None),
    "labels": (Labels, None),
    "stochastic": (Stochastic, False),
}


@dataclasses.dataclass(frozen=True)
class Remote:
    """How the endpoints of a command are asked.

    Attributes:
        options: as typed.
    """

    options: RemoteOptions

    def applied(self, loading: LoadOptions, out: Path | None = None) -> LoadOptions:
        """Return how classifiers are loaded, endpoints too.

        Args:
            loading: how others are.
            out: the folder of the run, where answers are kept; `None`: in memory.
        """
        cache = None if out is None else out / ANSWERS
        return dataclasses.replace(loading, remote=dataclasses.replace(self.options, cache=cache))


def remote(
    *, remote_batch: int, i_own_this: list[str] | None, image_shape: str | None, **options: Any
) -> Remote:
    """Return the settings of these options.

    Raises:
        UsageError: a number out of range, or authentication of another form.
    """
    owned, shape = tuple(i_own_this or ()), None if image_shape is None else _shape(image_shape)
    return Remote(RemoteOptions(batch=remote_batch, owned=owned, image_shape=shape, **options))


def _shape(text: str) -> tuple[int, int, int]:
    """Return three numbers.

    Raises:
        UsageError: they are others.
    """
    try:
        height, width, channels = map(int, text.split(","))
    except ValueError as error:
        raise UsageError(
            "--image-shape: expected height, width and channels, such as 28,28,1; received: "
            f"{text!r}"
        ) from error
    return height, width, channels


asks_endpoints = option_group("remote", _DECLARED, remote)

"""The old name of `tfrobust.engine.regions`, kept for one release."""

import warnings

from tfrobust.engine.regions import *  # noqa: F403

warnings.warn(
    "tfrobust.regions is kept for one release: import tfrobust.engine.regions",
    DeprecationWarning,
    stacklevel=2,
)

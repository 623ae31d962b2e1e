"""The old name of `tfrobust.engine.ensemble`, kept for one release."""

import warnings

from tfrobust.engine.ensemble import *  # noqa: F403

warnings.warn(
    "tfrobust.ensemble is kept for one release: import tfrobust.engine.ensemble",
    DeprecationWarning,
    stacklevel=2,
)

"""The old name of `tfrobust.engine.loop`, kept for one release."""

import warnings

from tfrobust.engine.loop import *  # noqa: F403

warnings.warn(
    "tfrobust.loop is kept for one release: import tfrobust.engine.loop",
    DeprecationWarning,
    stacklevel=2,
)

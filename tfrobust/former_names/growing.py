"""The old name of `tfrobust.engine.staged`, kept for one release."""

import warnings

from tfrobust.engine.staged import *  # noqa: F403

warnings.warn(
    "tfrobust.growing is kept for one release: import tfrobust.engine.staged",
    DeprecationWarning,
    stacklevel=2,
)

"""The old name of `tfrobust.engine.learning`, kept for one release."""

import warnings

from tfrobust.engine.learning import *  # noqa: F403

warnings.warn(
    "tfrobust.learning is kept for one release: import tfrobust.engine.learning",
    DeprecationWarning,
    stacklevel=2,
)

"""The old name of `tfrobust.engine.losses` and `.gradients`, kept for one release."""

import warnings

from tfrobust.engine.gradients import *  # noqa: F403
from tfrobust.engine.gradients import loss_gradient as ascend  # noqa: F401
from tfrobust.engine.losses import *  # noqa: F403

warnings.warn(
    "tfrobust.losses is kept for one release: import tfrobust.engine.losses and "
    "tfrobust.engine.gradients",
    DeprecationWarning,
    stacklevel=2,
)

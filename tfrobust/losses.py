"""The old name of `tfrobust.engine.losses` and `.gradients`, kept for one release."""

from tfrobust.engine.gradients import *  # noqa: F403
from tfrobust.engine.gradients import loss_gradient as ascend  # noqa: F401
from tfrobust.engine.losses import *  # noqa: F403

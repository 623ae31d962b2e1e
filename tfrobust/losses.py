"""The old name of `tfrobust.engine.losses`, kept for one release."""

from tfrobust.engine.losses import *  # noqa: F403
from tfrobust.engine.losses import loss_gradient as ascend  # noqa: F401

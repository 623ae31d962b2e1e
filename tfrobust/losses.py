"""The old name of `tfrobust.engine.losses`, kept for one release."""

from tfrobust.engine.losses import *  # noqa: F403

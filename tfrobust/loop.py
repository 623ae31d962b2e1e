"""The old name of `tfrobust.engine.loop`, kept for one release."""

from tfrobust.engine.loop import *  # noqa: F403

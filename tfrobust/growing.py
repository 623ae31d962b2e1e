"""The old name of `tfrobust.engine.staged`, kept for one release."""

from tfrobust.engine.staged import *  # noqa: F403

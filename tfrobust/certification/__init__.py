"""Classifiers × certifiers → certified accuracy, in memory (`certify`) or as a folder (`run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.certification.certifying import Certified, certify, certify_settings
    from tfrobust.certification.running import run
    from tfrobust.certification.settings import CertificationSettings

__all__ = [
    "CertificationSettings",
    "Certified",
    "certify",
    "certify_settings",
    "run",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "certifying": ("Certified", "certify", "certify_settings"),
        "running": ("run",),
        "settings": ("CertificationSettings",),
    },
)

"""The records of `certificates.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from tfrobust.errors import StoreError, one_line
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.files.record_types import Text
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import ClassifierRecord, ScenarioRecord

CERTIFICATES, RADII = "certificates.json", "radii.npz"


class Certification(pydantic.BaseModel):
    """One classifier on one scenario, certified.

    Attributes:
        classifier: whose answers.
        scenario: on which images.
        clean: accuracy of the classifier as it answers.
        certificates: one a certifier.
    """

    classifier: ClassifierRecord
    scenario: ScenarioRecord
    clean: Proportion
    certificates: list[CertificateResult] = pydantic.Field(min_length=1)


class Certifications(pydantic.BaseModel):
    """All of `certificates.json`."""

    format: Literal["tfrobust/certification"] = "tfrobust/certification"
    version: Literal[1] = 1
    certifications: list[Certification] = pydantic.Field(min_length=1)
    environment: dict[Text, Text]

    @pydantic.model_validator(mode="after")
    def _is_a_grid(self) -> Certifications:
        asked = [
            [(c.name, c.params, [w.eps for w in c.within]) for c in one.certificates]
            for one in self.certifications
        ]
        if any(row != asked[0] for row in asked):
            raise ValueError("certifications: expected the same certifiers for every classifier")
        return self

    def to_json(self) -> str:
        """Return the text of `certificates.json`."""
        return self.model_dump_json(indent=1) + "\n"


def read_certifications(folder: Path) -> Certifications:
    """Read `certificates.json` of a folder.

    Raises:
        StoreError: it is missing, of another format, or holds what no certification writes.
    """
    path = folder / CERTIFICATES
    try:
        return read_record(Certifications, path)
    except OSError as error:
        raise StoreError(f"{path}: {one_line(error)}; run `tfrobust certify` first") from error
    except UnreadableError as error:
        raise StoreError(
            f"{path}: not a certification of this version ({error}); certify again"
        ) from error

"""What the answers of an endpoint cost, as `results.json` tells it."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import Count


class Spending(pydantic.BaseModel):
    """What the answers of an endpoint cost, over the whole run and all endpoints in it.

    `sent` are the images that have left, those that were sent again too; `cached` the answers that
    were kept and not asked again. `limit` is of those that leave, `per_image` of what one attack
    may ask about one image; `None`: there is no such limit.
    """

    sent: Count
    cached: Count
    limit: Count | None = None
    left: Count | None = None
    per_image: Count | None = None

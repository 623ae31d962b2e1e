"""What the answers of an endpoint cost, as `results.json` tells it."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import Count


class Spending(pydantic.BaseModel):
    """What the answers of an endpoint cost.

    `sent` are the images that have left, those that were sent again too, over all endpoints of the
    run and the runs before it in the same folder; `cached` the answers that were kept and not asked
    again, of this endpoint and command. `limit` is of those that leave, `per_image` of what one
    attack may ask about one image; `None`: there is no such limit.
    """

    sent: Count
    cached: Count
    limit: Count | None = None
    left: Count | None = None
    per_image: Count | None = None

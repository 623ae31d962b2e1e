"""What the answers of an endpoint cost, as `results.json` tells it."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import Count
from tfrobust.meter import Purpose


class Asked(pydantic.BaseModel):
    """Questions for one purpose: `sent` ones have left, the answers to `kept` ones were there."""

    sent: Count
    kept: Count


class Spending(pydantic.BaseModel):
    """What the answers of an endpoint cost.

    `sent` are the images that have left, those that were sent again too, over all endpoints of the
    run and the runs before it in the same folder; `cached` the answers that were kept and not asked
    again, of this endpoint and command. `limit` is of those that leave, `per_image` of what one
    attack may ask about one image; `None`: there is no such limit. `by` tells of this endpoint and
    command what the questions were for, and `repeated` which images were sent again because a
    request had failed: what left is the sum of all `sent` and `repeated`. What attacks tell as
    their queries is the sum of both numbers of `attacks`.
    """

    sent: Count
    cached: Count
    limit: Count | None = None
    left: Count | None = None
    per_image: Count | None = None
    by: dict[Purpose, Asked] | None = None
    repeated: Count = 0

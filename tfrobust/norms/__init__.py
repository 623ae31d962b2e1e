"""The geometry of the balls: measuring, projecting, steepest ascent, drawing, a norm at a time.

Perturbations are float32 `(batch, height, width, channels)`; `eps` is a radius in the norm's own
unit (pixel values run from 0 to 1).
"""

from tfrobust.norms.contract import PIXELS, TINY, Ball, ConvexBall, Region
from tfrobust.norms.dense import L2, Linf
from tfrobust.norms.sparse import L0, L1
from tfrobust.norms.table import ball

__all__ = ["L0", "L1", "L2", "PIXELS", "TINY", "Ball", "ConvexBall", "Linf", "Region", "ball"]

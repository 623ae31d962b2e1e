"""State dicts in torchvision's names, read without PyTorch and put into Keras models."""

from tfrobust_models.torch_weights.files import read_state_dict
from tfrobust_models.torch_weights.transplant import fill

__all__ = ["fill", "read_state_dict"]

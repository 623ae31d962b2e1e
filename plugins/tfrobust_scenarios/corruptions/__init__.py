"""The fifteen corruptions of ImageNet-C, as shifts."""

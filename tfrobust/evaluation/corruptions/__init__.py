"""Classifiers under the fifteen corruptions of ImageNet-C, and their mean error."""

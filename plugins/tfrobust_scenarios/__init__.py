"""Bundled scenarios: image classification datasets."""

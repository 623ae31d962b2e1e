"""Bundled architectures: Keras 3 functional models from images in [0, 1] to logits."""

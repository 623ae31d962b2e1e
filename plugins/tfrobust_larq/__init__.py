"""Binarized and quantized networks: genuine Larq layers on Keras 2."""

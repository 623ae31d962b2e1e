"""Adapters of models: how a Keras model or a SavedModel becomes a classifier."""

"""Contextual fusion: one linear layer classifies the features of several streams."""

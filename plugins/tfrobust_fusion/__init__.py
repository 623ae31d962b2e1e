"""Contextual fusion: streams of features, of which one linear layer makes a decision."""

"""Attacks that see predicted classes only."""

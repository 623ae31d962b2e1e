"""Attacks that see only predicted classes."""

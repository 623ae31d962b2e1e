"""Attacks that follow the gradient inside a ball."""

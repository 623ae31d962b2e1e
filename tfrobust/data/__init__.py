"""Scenarios by name, their frames, shifts and boxes."""

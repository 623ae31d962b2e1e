"""Uncertainty from randomness: Monte Carlo dropout, and detectors that look at its spread."""

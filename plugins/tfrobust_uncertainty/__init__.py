"""Uncertainty from randomness: Monte Carlo dropout, and detectors that use its variance."""

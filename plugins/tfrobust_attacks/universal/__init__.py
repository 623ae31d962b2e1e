"""Attacks that learn one perturbation, or a network that generates perturbations."""

"""Attacks that look for the smallest perturbation."""

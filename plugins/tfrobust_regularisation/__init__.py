"""Defences that bound how far a network's layers can move its answers."""

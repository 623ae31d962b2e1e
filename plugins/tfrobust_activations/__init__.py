"""Defences that replace a network's activation functions."""

"""Defences that answer by an average over noise."""

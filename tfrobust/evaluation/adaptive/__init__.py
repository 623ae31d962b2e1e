"""Attacks of an attacker who knows the defences: `evaluate --adaptive`."""

"""Defences that train a finished network further."""

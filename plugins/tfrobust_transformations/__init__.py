"""Defences that change what the classifier is shown."""

"""Certifiers of Keras networks: by bounds of their answers, and by search for the nearest error."""

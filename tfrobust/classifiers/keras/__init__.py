"""Keras models of both generations as classifiers, and their files read as data."""

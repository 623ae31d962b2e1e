"""Shifts of the training recipes: crops, rotations and colours, drawn anew for each image."""

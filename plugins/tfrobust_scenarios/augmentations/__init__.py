"""Shifts of the training recipes: crops, rotations and colours, drawn for each image."""

"""The calibrater: a small network before a frozen one that bends unseen images towards it."""

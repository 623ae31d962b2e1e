"""CleverHans 4's TensorFlow 2 attacks, run by our engine."""

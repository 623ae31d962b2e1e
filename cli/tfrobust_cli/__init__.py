"""The command line: one command a file, no numerics, TensorFlow only where a command needs it."""

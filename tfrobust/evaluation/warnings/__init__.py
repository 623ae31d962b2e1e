"""What the user of an evaluation should know of its figures."""

"""What of a classifier is served, and in which format."""

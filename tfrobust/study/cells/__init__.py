"""The runs of a study, each computed once and kept."""

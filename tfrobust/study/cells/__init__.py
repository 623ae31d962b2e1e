"""The cells of a study: what determines one, how it is computed and kept."""

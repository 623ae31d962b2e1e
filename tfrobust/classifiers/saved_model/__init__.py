"""SavedModels as classifiers, whoever wrote them."""

"""Endpoints as classifiers: TensorFlow Serving's REST and gRPC protocols."""

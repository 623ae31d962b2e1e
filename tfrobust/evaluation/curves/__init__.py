"""Attacks at several budgets, values and numbers of queries."""

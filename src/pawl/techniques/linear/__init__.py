"""Learners that are weighted sums."""

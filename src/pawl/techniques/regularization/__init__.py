"""Techniques against overfitting."""

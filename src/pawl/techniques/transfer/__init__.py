"""Techniques for models that were trained before."""

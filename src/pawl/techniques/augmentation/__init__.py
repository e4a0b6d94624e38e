"""Techniques that change each batch."""

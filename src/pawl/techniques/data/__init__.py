"""Techniques that change the data once, fitted on training rows."""

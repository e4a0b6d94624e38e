"""Techniques that change the network."""

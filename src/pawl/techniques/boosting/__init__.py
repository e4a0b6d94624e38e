"""Learners that add small models one at a time, each for what those before it got wrong."""

"""Learners that look at the nearest training rows."""

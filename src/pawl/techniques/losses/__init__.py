"""Losses that are trained in place of the usual ones, or beside them."""

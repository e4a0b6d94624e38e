"""Learners that are sums of decision trees."""

"""Optimizers, schedules, batch size and gradients."""

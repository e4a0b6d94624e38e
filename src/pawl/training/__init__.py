"""The training loop: populations, their steppers, metrics and runs."""

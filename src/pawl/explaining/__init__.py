"""What a model does, with evidence for each explanation."""

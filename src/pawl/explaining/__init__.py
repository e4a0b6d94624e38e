"""What a model does, with evidence for each explanation: importances, dependence, attributions, errors."""

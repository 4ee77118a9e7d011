"""One model's training: from its hyperparameters to its evaluation."""

"""Which trials there are, who runs them, and which are the best; kept by Optuna."""

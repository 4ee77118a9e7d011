"""Where trials are kept: Optuna's storage, who runs each, and what a run folder knows of it."""

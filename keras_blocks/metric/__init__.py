"""Learning which images are alike: losses, batches, one-shot classification."""

"""Which trial is next: dimensions, sources of draws, samplers, objectives, ranking."""

"""A search: its settings, its workers, what it says."""

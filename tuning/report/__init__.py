"""What a search found: on a terminal, as a page, as pictures."""

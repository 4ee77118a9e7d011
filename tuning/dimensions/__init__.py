"""What may be drawn, and what it is drawn from."""

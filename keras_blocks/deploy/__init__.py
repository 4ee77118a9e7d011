"""Models for use alone: what only training needs is folded or left out."""

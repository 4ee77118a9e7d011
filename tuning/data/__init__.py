"""Images with labels, in three parts."""

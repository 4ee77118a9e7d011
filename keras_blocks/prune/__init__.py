"""Models with fewer channels: which belong together, which matter least, and the smaller model without them."""

"""Search spaces of this library's architectures, and what is drawn from them."""

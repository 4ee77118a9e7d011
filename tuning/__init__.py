"""Search spaces, searches and the command line."""

"""What blocks and architectures cost, counted with nothing built."""

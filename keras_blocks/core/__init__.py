"""What all blocks share: the block, its chain, the layers that follow from settings, checks of arguments."""

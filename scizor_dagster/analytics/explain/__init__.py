"""The chain from the line of a weight file to a position, as one value, in words and as JSON."""

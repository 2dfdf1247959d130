"""What a message says and looks like: pure, from facts to blocks."""

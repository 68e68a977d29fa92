"""What a cell has lost: lithium, or active material of an electrode."""

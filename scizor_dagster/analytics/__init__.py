"""What a portfolio is worth and how it has done."""

"""What figures compute with, apart from their pictures."""

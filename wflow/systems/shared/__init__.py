"""What several systems stand on."""

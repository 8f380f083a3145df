"""What several grid methods stand on."""

"""Features at nodes, contracted either way."""

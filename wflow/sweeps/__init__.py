"""Many runs at once: a plan of them, on all cores or a cluster, each into a file of its own, and what they found."""

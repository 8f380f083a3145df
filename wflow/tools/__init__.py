"""What every room uses: checks of numbers, fingerprints, streams of random numbers, parameters, registers."""

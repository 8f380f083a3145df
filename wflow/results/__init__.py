"""What a run leaves: the solution, its pictures, its ledger."""

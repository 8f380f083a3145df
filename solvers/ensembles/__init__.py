"""How the ensembles of multilayer networks are advanced: one file a method, found by itself."""

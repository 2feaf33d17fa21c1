"""How good a result is: measures, evaluation of folders, tolerances, verification against a reference."""

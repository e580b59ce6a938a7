"""Helpers of the tests; a package, since one that is called the same comes with torch-fidelity."""

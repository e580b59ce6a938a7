"""Files from the web: which hosts may be asked, over which connections, and what their answers mean."""

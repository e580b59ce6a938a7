"""Ways to work through a class: here, on this machine."""

"""What turns images into features: a pack's classifier, or the Inception network of publications."""

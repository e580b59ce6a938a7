"""Pictures for notebooks and reports: grids of images as PNG, and charts."""

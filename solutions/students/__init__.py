"""The students of the sample classes: what each of them wrote, trained and handed in."""

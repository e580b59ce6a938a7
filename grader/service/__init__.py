"""The GPU grading service: hand-ins come over HTTP, wait in the course's database, and are graded one after the other."""

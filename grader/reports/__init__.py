"""What people read: pages, tables and results.json, all derived from `grader.models` and rebuilt at will."""

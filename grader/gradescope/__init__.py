"""The lab as an autograder of Gradescope: the zip that is uploaded, and what runs from it there."""

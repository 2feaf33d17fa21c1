"""What can be done with an inversion's codes: directions, edits, ways between people; and films of what is drawn."""

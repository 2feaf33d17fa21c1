// Edits that C++ and C draw, for tests that hold them against Python's. The C interface has to give the same pixels.
#pragma once

#include <string>
#include <vector>

// An edit is "smile=2.5,2:4:FILE=1": strengths of directions, and of rows of the inversion in a file; an empty text is the
// person. Words, after the verb:

// a bundle, a generator of it, an inversion, a file, edits. Codes and pictures go to the file.
void edit(const std::vector<std::string>& words);

// A bundle, an optimisation, an inversion, a file, edits. The pictures go to the file.
void draw(const std::vector<std::string>& words);

// A bundle, a generator, an inversion, floats [N, channels] in a file, a file: an inversion's codes with so much added to
// their styles.
void styles(const std::vector<std::string>& words);

// A bundle, two inversions, a time, a file, an edit: the pixels of whoever is between the two go to the file.
void between(const std::vector<std::string>& words);

// A bundle, a file: what the C interface tells of the bundle's directions, a line each.
void directions(const std::vector<std::string>& words);

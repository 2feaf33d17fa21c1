// An inversion: the few numbers that hold a photo, and their file.
#ifndef HYPERSTYLE_DEPLOY_INVERSION_HPP
#define HYPERSTYLE_DEPLOY_INVERSION_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api.h"
#include "image.hpp"

namespace hyperstyle {

// A dense array of float32 with its shape.
struct Floats {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// A photo as codes and offset codes of one model. A plain value: it owns what it holds and may be copied.
struct HYPERSTYLE_DEPLOY_API Inversion {
  Floats codes;         // W+ codes, [styles, 512]
  Floats offset_codes;  // [tuned, 512], summed over the steps; for the separable hypernetwork [steps, tuned, 512]
  std::int64_t steps = 0;
  std::string model;       // identifies the checkpoint pair
  std::vector<double> l2;  // mean squared error over [-1, 1] at the networks' size: before refinement, after every step
  Image image;             // the result; empty for an inversion read from a file
  std::map<std::string, std::string> source;  // free text about the photo that travels with the file, UTF-8

  // Write it, without its image, as the safetensors file that the Python runtime reads; whole or not there.
  // Throws InversionError for values that are not finite, or arrays that do not have the size of their shapes; and
  // OutputError if the file cannot be written.
  void save(const std::string& path) const;

  // Read one, whichever runtime wrote it. Throws InversionError: there is none, it is damaged, of another version, or
  // its arrays are of the wrong type.
  static Inversion load(const std::string& path);
};

}  // namespace hyperstyle

#endif

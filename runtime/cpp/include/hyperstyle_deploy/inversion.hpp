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

// A photo as the arrays that its method keeps. A plain value: it owns what it holds and may be copied.
struct HYPERSTYLE_DEPLOY_API Inversion {
  std::string method;
  std::string model;  // identifies the checkpoints
  std::int64_t steps = 0;
  std::map<std::string, Floats> arrays;  // what the method keeps, by name, as Session::state says
  std::vector<double> l2;  // mean squared error over [-1, 1] at the networks' size, before refinement and after every
                           // step; empty where input and result are not pictures of one kind
  Image image;             // the result; empty for an inversion read from a file
  std::map<std::string, std::string> source;  // free text about the photo that travels with the file, UTF-8

  // An array by its name. Throws InversionError if there is none.
  const Floats& array(const std::string& name) const;
  const Floats& codes() const { return array("codes"); }  // W+ codes, [styles, width]

  // Write it, without its image, as the safetensors file that the Python runtime reads; whole or not there. `stored` is
  // what PTI's differences, as many numbers as the generator has, are written as: "float32", "float16" or "int8".
  // Throws InversionError for values that are not finite, arrays that do not have the size of their shapes, or an l2
  // that does not go with the steps; and OutputError if the file cannot be written.
  void save(const std::string& path, const std::string& stored = "float32") const;

  // What `save` writes. Throws InversionError as `save`.
  std::string to_bytes(const std::string& stored = "float32") const;

  // Read one, whichever runtime wrote it. Throws InversionError: there is none, it is damaged, of another version, or
  // its arrays are of the wrong type.
  static Inversion load(const std::string& path);
};

}  // namespace hyperstyle

#endif

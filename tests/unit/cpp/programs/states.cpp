#include "states.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bundle.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/runtime.hpp"
#include "images.hpp"
#include "loop.hpp"
#include "methods/projection.hpp"
#include "methods/tuning.hpp"

namespace hs = hyperstyle;

namespace {

using Words = std::vector<std::string>;

std::string file_of(const std::string& folder, const std::string& what, int step) {
  return (std::filesystem::path(folder) / (what + "." + std::to_string(step))).string();
}

// The numbers of a file; zeros if there is none.
std::vector<float> numbers(const std::string& path, std::int64_t count) {
  std::vector<float> found(static_cast<std::size_t>(count));
  if (!std::filesystem::exists(path)) return found;
  std::ifstream file(path, std::ios::binary);
  const std::size_t bytes = found.size() * sizeof(float);
  if (std::filesystem::file_size(path) != bytes ||
      !file.read(reinterpret_cast<char*>(found.data()), static_cast<std::streamsize>(bytes))) {
    throw std::runtime_error(path + " is of another size");
  }
  return found;
}

// An optimisation that takes what others have drawn.
template <typename Kind>
class Given : public Kind {
 public:
  Given(const hs::Manifest& manifest, hs::Settings settings, std::string folder)
      : Kind(manifest, hs::make_method(manifest), std::move(settings)), folder_(std::move(folder)) {}

 protected:
  hs::Array draws(const std::string& what, int index, const hs::Shape& shape) const override {
    const std::vector<float> found = numbers(file_of(folder_, what, index), hs::count(shape));
    const hs::Array drawn = hs::host_array(hs::Dtype::float32, shape);
    std::copy(found.begin(), found.end(), static_cast<float*>(drawn.data));
    return drawn;
  }

 private:
  const std::string folder_;
};

hs::Settings settings_of(const Words& words) {
  hs::Settings settings;
  settings.locality = words.at(6) == "held locally";
  settings.space = words[6] == "w" ? "w" : "w+";
  for (std::size_t at = 8; at < words.size(); ++at) {
    const std::size_t equals = words[at].find('=');
    settings.loss[words[at].substr(0, equals)] = std::stod(words[at].substr(equals + 1));
  }
  return settings;
}

std::unique_ptr<const hs::Method> method_of(const hs::Manifest& manifest, const Words& words) {
  const std::string &name = words.at(5), &draws = words.at(7);
  hs::Settings settings = settings_of(words);
  if (draws == "-") {
    hs::Options options;
    options.method = name;
    options.settings = settings;
    return hs::make_method(manifest, options);
  }
  if (name == "projection") return std::make_unique<const Given<hs::Projection>>(manifest, settings, draws);
  const hs::Shape codes{manifest.generator.styles, manifest.generator.width};
  settings.pivot = hs::Floats{codes, numbers(file_of(draws, "pivot", 0), hs::count(codes))};
  return std::make_unique<const Given<hs::Tuning>>(manifest, settings, draws);
}

void write(const hs::Array& array, const std::string& path) {
  hs::write_atomically(path, [&](std::FILE* file) { hs::write_all(file, array.data, array.bytes()); });
}

void write(hs::Backend& backend, const hs::Step& step, const std::string& folder) {
  for (const auto& [name, array] : step.states[0]) write(backend.download(array), file_of(folder, name, step.index));
  write(backend.download(step.reconstructions), file_of(folder, "reconstruction", step.index));
}

}  // namespace

void write_states(const Words& words) {
  const hs::Bundle bundle = hs::Bundle::open(words.at(1));
  const std::unique_ptr<const hs::Method> method = method_of(bundle.manifest(), words);
  hs::Options options;
  options.threads = 2;
  const std::unique_ptr<hs::Backend> backend = hs::open_backend(bundle, *method, options);
  const hs::Image photo = hs::read_photo(words.at(2));
  const int steps = std::stoi(words.at(4));
  const hs::Array input = backend->upload(hs::network_input({photo.view()}, bundle.manifest().image));
  hs::Loop loop(*backend, *method, bundle.manifest(), input, steps, nullptr);
  write(*backend, loop.start(), words.at(3));
  for (int step = 0; step < steps; ++step) write(*backend, loop.advance({}), words[3]);
}

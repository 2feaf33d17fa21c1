#include "bundle.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "manifest.hpp"
#include "methods/method.hpp"
#include "onnx_scan.hpp"
#include "safetensors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

constexpr const char* manifest_name = "bundle.json";
constexpr std::uint64_t max_manifest = 4u << 20;

// Whether something is there; any other failure than its absence is thrown.
bool exists(const std::string& path, struct stat& status) {
  if (path.find('\0') != std::string::npos) return false;
  if (stat(path.c_str(), &status) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) throw std::system_error(errno, std::generic_category());
  return false;
}

std::string read_document(const std::string& path) {
  struct stat status {};
  const bool there = exists(path, status);
  if (!there || !S_ISDIR(status.st_mode)) {
    throw BundleError(Message(path + " is not a bundle").got(there ? "a file" : "nothing there").expected("a folder"));
  }
  if (!exists(path + "/" + manifest_name, status)) {
    throw BundleError(Message(path + " is not a bundle")
                          .got(std::string("no ") + manifest_name + " in it")
                          .hint("Make one with: hyperstyle-deploy export"));
  }
  const std::string file = inside(path, manifest_name);
  const std::uint64_t size = InputFile(file).size();
  if (size > max_manifest) {
    throw BundleError(
        Message(file + " is too large").got(std::to_string(size)).expected("at most " + std::to_string(max_manifest)));
  }
  return read_file(file);
}

Manifest read_manifest(const std::string& path) {
  try {
    return parse_manifest(read_document(path), path + "/" + manifest_name);
  } catch (const std::system_error& error) {
    throw BundleError(Message("Cannot read " + path).got(std::strerror(error.code().value())));
  }
}

// Compare every file's size and SHA-256 with the manifest; all that differ are named.
void check_files(const std::string& path, const Manifest& manifest) {
  std::vector<std::string> paths, wrong;
  for (const auto& file : manifest.files) paths.push_back(inside(path, file.first));
  try {
    for (std::size_t row = 0; row < paths.size(); ++row) {
      const std::uint64_t size = InputFile(paths[row]).size();
      const auto& [name, spec] = manifest.files[row];
      if (size != static_cast<std::uint64_t>(spec.bytes)) {
        wrong.push_back(name + ": " + std::to_string(size) + " bytes");
      }
    }
    if (wrong.empty()) {
      const std::vector<std::string> digests = sha256_of_all(paths);
      for (std::size_t row = 0; row < digests.size(); ++row) {
        const auto& [name, spec] = manifest.files[row];
        if (digests[row] != spec.sha256) wrong.push_back(name + ": sha256 " + digests[row].substr(0, 12));
      }
    }
  } catch (const std::system_error& error) {
    throw BundleError(Message("Cannot read " + path).got(error.what()));
  }
  if (!wrong.empty()) {
    throw BundleError(Message("Files of " + path + " are not the ones that were exported")
                          .got(joined(wrong))
                          .expected("the sizes and checksums in bundle.json")
                          .hint("Copy the bundle again, or export it again."));
  }
}

// A graph's file, read once: as the manifest says, and pointing only into files that have been checked, since a backend
// would follow it anywhere.
std::string checked_graph(const std::string& path, const Manifest& manifest, const std::string& name) {
  std::string content = read_file(inside(path, name));
  if (sha256_of_bytes(content) != manifest.file(name)->sha256) {
    throw BundleError(Message(path + "/" + name + " is not the one that was exported").hint("Copy the bundle again."));
  }
  std::vector<std::string> unlisted;
  for (const std::string& file : scan_graph(content)) {
    if (manifest.file(file) == nullptr) unlisted.push_back(file);
  }
  if (unlisted.empty()) return content;
  throw BundleError(Message(name + " takes constants from files that are not the bundle's")
                        .got(joined(unlisted))
                        .expected("files that bundle.json lists"));
}

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

void read_constants(const std::string& path, const std::string& precision, Arrays& tensors,
                    std::vector<std::string>& wrong) {
  const InputFile file(path);
  for (const StoredTensor& stored : read_header(file).tensors) {
    const bool narrow = starts_with(stored.name, "weight.") || starts_with(stored.name, "noise.") ||
                        starts_with(stored.name, "encoder_noise.");
    const Dtype dtype = dtype_of(narrow ? precision : "float32");
    const char* expected = dtype == Dtype::float32 ? "F32" : dtype == Dtype::float16 ? "F16" : "BF16";
    if (stored.dtype != expected) {
      wrong.push_back(stored.name + " " + stored.dtype + " for " + expected);
      continue;
    }
    const Array array = host_array(dtype, stored.shape);
    file.read(stored.offset, array.data, array.bytes());
    tensors[stored.name] = array;
  }
}

// The loop and the kernels address memory by what the method's graphs say of their constants.
void check_constants(const Bundle& bundle, const Method& method, const Arrays& tensors) {
  for (const TensorSpec& spec : method.needed_constants()) {
    const auto found = tensors.find(spec.name);
    std::vector<Dimension> shape;
    if (found != tensors.end()) shape.assign(found->second.shape.begin(), found->second.shape.end());
    if (found != tensors.end() && found->second.dtype == dtype_of(spec.dtype) && same_shape(shape, spec.shape)) {
      continue;
    }
    throw BundleError(Message(bundle.path() + " has no constant " + spec.name + " as its layers say")
                          .got(found == tensors.end() ? "none" : shown(shape))
                          .expected(spec.dtype + " " + shown(spec.shape)));
  }
}

}  // namespace

Bundle::Bundle(std::string path, std::shared_ptr<const Manifest> manifest, std::shared_ptr<const Contents> contents)
    : path_(std::move(path)), manifest_(std::move(manifest)), contents_(std::move(contents)) {}

Bundle Bundle::open(const std::string& given) {
  const std::string path = tidy(given);
  auto manifest = std::make_shared<const Manifest>(read_manifest(path));
  check_files(path, *manifest);
  auto contents = std::make_shared<Contents>();
  for (const auto& entry : manifest->graphs) {
    const std::string& file = entry.second.file;
    if (contents->count(file) == 0) contents->emplace(file, checked_graph(path, *manifest, file));
  }
  return Bundle(path, std::move(manifest), std::move(contents));
}

const std::string& Bundle::graph_content(const std::string& graph) const {
  return contents_->at(manifest_->graph(graph).file);
}

Arrays constants(const Bundle& bundle, const Method& method) {
  Arrays tensors;
  std::vector<std::string> wrong;
  for (const std::string& name : bundle.manifest().constants) {
    try {
      read_constants(inside(bundle.path(), name), bundle.manifest().precision, tensors, wrong);
    } catch (const SafetensorsError& error) {
      throw BundleError(Message("Cannot read " + name + " of the bundle").got(error.what()));
    } catch (const std::system_error& error) {
      throw BundleError(Message("Cannot read " + name + " of the bundle").got(error.what()));
    }
  }
  if (!wrong.empty()) {
    throw BundleError(Message("Constants of the bundle are of the wrong type").got(joined(wrong)));
  }
  check_constants(bundle, method, tensors);
  return tensors;
}

}  // namespace hyperstyle

// Feeds bytes to the readers of manifests, graphs and inversions: the first byte says which. What they accept is
// written and read again. Anything but a result or one of our errors is a finding.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "files.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "hyperstyle_deploy/inversion.hpp"
#include "manifest.hpp"
#include "onnx_scan.hpp"

namespace {

// A file of its own for this process, in memory where there is such a folder.
const std::string& scratch() {
  static const std::string path =
      (access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-" : "fuzz-") + std::to_string(getpid()) + ".inversion";
  return path;
}

void read_inversion(std::string_view content) {
  hyperstyle::write_atomically(scratch(),
                               [&](std::FILE* file) { hyperstyle::write_all(file, content.data(), content.size()); });
  const hyperstyle::Inversion first = hyperstyle::Inversion::load(scratch());
  first.save(scratch());
  const hyperstyle::Inversion second = hyperstyle::Inversion::load(scratch());
  const auto same = [](const auto& left, const auto& right) {
    return left.first == right.first && left.second.shape == right.second.shape &&
           left.second.values == right.second.values;
  };
  if (!std::equal(first.arrays.begin(), first.arrays.end(), second.arrays.begin(), second.arrays.end(), same) ||
      first.source != second.source || first.l2 != second.l2 || first.method != second.method) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] % 3 == 0) {
      hyperstyle::parse_manifest(content, "bundle.json");
    } else if (data[0] % 3 == 1) {
      hyperstyle::scan_graph(content);
    } else {
      read_inversion(content);
    }
  } catch (const hyperstyle::Error&) {
  }
  return 0;
}

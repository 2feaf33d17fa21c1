#include "engines.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>

#include "../bundle.hpp"
#include "../files.hpp"
#include "../json.hpp"
#include "../onnx_scan.hpp"
#include "../text.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle {
namespace {

using Sorted = nlohmann::json;  // objects sorted by key, as the seal was made
constexpr std::uint64_t max_record = 1 << 20;
constexpr std::size_t key_bytes = 32;

std::string rebuild_hint(const Bundle& bundle, const Machine& machine, const std::string& stage) {
  return "Build it anew with: hyperstyle-deploy build " + bundle.path() + " --target " + machine.target + " --stages " +
         stage + " --force";
}

// JSON values as Python's json.dumps gives them, sorted, compact and in ASCII.
std::string canonical(const Sorted& value) { return value.dump(-1, ' ', true); }

Sorted read_record(const Bundle& bundle, const std::string& target) {
  const std::string name = "engines/" + target + "/engine.json", path = bundle.path() + "/" + name;
  if (access(path.c_str(), F_OK) != 0) return {{"engines", Sorted::object()}};
  try {
    const std::string content = read_file(inside(bundle.path(), name));
    if (content.size() > max_record) throw JsonError("too large a file");
    parse_json(content);  // bounded in depth and fields
    Sorted record = Sorted::parse(content);
    if (record.at("schema_version") != 1 || record.at("target") != target || !record.at("engines").is_object()) {
      throw EngineError(Message(path + " has another schema version").hint("Build the engines again with this version."));
    }
    return record;
  } catch (const std::system_error& error) {
    throw EngineError(Message("Cannot read " + path).got(error.what()));
  } catch (const std::runtime_error& error) {
    throw EngineError(Message(path + " is wrong").got(clipped(error.what(), 120)).hint("Delete the file, then build the engines again."));
  }
}

// This user's key, empty if there is none.
std::string own_key() {
  const char *own = std::getenv("HYPERSTYLE_DEPLOY_STATE"), *shared = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  std::string folder = own != nullptr && *own != '\0' ? own : "";
  if (folder.empty() && shared != nullptr && *shared == '/') folder = std::string(shared) + "/hyperstyle-deploy";
  if (folder.empty()) folder = std::string(home == nullptr ? "" : home) + "/.local/state/hyperstyle-deploy";
  const std::string path = folder + "/engine-key";
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return "";
  if (!S_ISREG(status.st_mode) || status.st_uid != getuid() || (status.st_mode & 077) != 0 || status.st_size != key_bytes) {
    throw EngineError(Message(path + " cannot vouch for engines")
                          .expected("a file of 32 bytes that this user alone can read")
                          .hint("Delete it, then build the engines again."));
  }
  return read_file(path);
}

bool is_sealed(const Sorted& engine) {
  const std::string key = own_key(), found = engine.at("seal").get<std::string>();
  if (key.empty()) return false;
  Sorted entry = engine;
  entry.erase("seal");
  const std::string content = canonical(entry);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(content.data()),
           content.size(), digest, &size) == nullptr) {
    throw std::bad_alloc();
  }
  std::string seal;
  for (unsigned index = 0; index < size; ++index) {
    seal += "0123456789abcdef"[digest[index] >> 4];
    seal += "0123456789abcdef"[digest[index] & 15];
  }
  return seal.size() == found.size() && CRYPTO_memcmp(seal.data(), found.data(), seal.size()) == 0;
}

// SHA-256 over a graph and every constants file that it points into, by the manifest's checksums.
std::string graph_digest(const Bundle& bundle, const std::string& stage) {
  const std::string& file = bundle.manifest().graph(stage).file;
  std::set<std::string> names = scan_graph(bundle.graph_content(stage));
  names.insert(file);
  Sorted checksums = Sorted::object();
  for (const std::string& name : names) {
    const FileSpec* spec = bundle.manifest().file(name);
    if (spec == nullptr) throw BundleError(Message(file + " takes constants from files that are not the bundle's").got(name));
    checksums[name] = spec->sha256;
  }
  return sha256_of_bytes(canonical(checksums));
}

bool runs_on(const Sorted& recipe, const Machine& machine) {
  const std::string level = recipe.at("flags").at("hardware_compatible"), gpu = recipe.at("gpu");
  if (machine.target == "tensorrt" && level == "ampere-plus") return machine.compute_capability >= 80;
  const Sorted& capabilities = recipe.at("compute_capabilities");
  const bool same_gpu = level == "same-compute-capability" || gpu.empty() || gpu == machine.gpu;
  return same_gpu && std::find(capabilities.begin(), capabilities.end(), machine.compute_capability) != capabilities.end();
}

void check_recipe(const Sorted& recipe, const Bundle& bundle, const Machine& machine, const std::string& stage) {
  const auto same = [&](const char* what, const std::string& built, const std::string& here) {
    if (built == here) return;
    throw EngineError(Message("The engine of " + stage + " was built for " + what)
                          .got(clipped(built, 60))
                          .expected(clipped(here, 60))
                          .hint(rebuild_hint(bundle, machine, stage)));
  };
  same("another target", recipe.at("target").get<std::string>() + " " + recipe.at("stage").get<std::string>(),
       machine.target + " " + stage);
  same("another precision", recipe.at("precision"), bundle.manifest().precision);
  same("another export of the graph", recipe.at("graph"), graph_digest(bundle, stage));
  same("another version of the library", recipe.at("library"), machine.library);
  if (machine.target == "tensorrt") same("another platform", recipe.at("platform"), machine.platform);
  if (!runs_on(recipe, machine)) same("another GPU", recipe.at("gpu").get<std::string>() + " " + recipe.at("compute_capabilities").dump(),
                                      machine.gpu + " " + std::to_string(machine.compute_capability));
}

std::string read_engine(const Sorted& engine, const Bundle& bundle, const Machine& machine, const std::string& stage) {
  const std::string file = engine.at("file"), expected = engine.at("sha256");
  if (file.find_first_of("/\\:") != std::string::npos) throw EngineError(Message("The engine's file name is wrong").got(repr(file)));
  const std::string content = read_file(inside(bundle.path(), "engines/" + machine.target + "/" + file));
  const std::string found = sha256_of_bytes(content);
  if (found != expected) {
    throw EngineError(Message("The engine " + file + " is not the one that was built")
                          .got("sha256 " + found.substr(0, 12))
                          .expected(clipped(expected, 12))
                          .hint(rebuild_hint(bundle, machine, stage)));
  }
  return content;
}

}  // namespace

bool has_engine(const Bundle& bundle, const std::string& target, const std::string& stage) {
  return read_record(bundle, target).at("engines").contains(stage);
}

CheckedEngine load_engine(const Bundle& bundle, const Machine& machine, const std::string& stage, bool trust_engines) {
  const Sorted record = read_record(bundle, machine.target);
  if (!record.at("engines").contains(stage)) {
    throw EngineError(Message(bundle.path() + " has no " + machine.target + " engine of " + stage)
                          .hint(rebuild_hint(bundle, machine, stage)));
  }
  try {
    const Sorted& engine = record.at("engines").at(stage);
    if (!trust_engines && !is_sealed(engine)) {
      throw EngineError(Message("The engine of " + stage + " did not come from a build of this user")
                            .expected("an engine built here, since engines run code when they are loaded")
                            .hint(rebuild_hint(bundle, machine, stage) +
                                  ". If you trust where it came from, set trust_engines."));
    }
    check_recipe(engine.at("recipe"), bundle, machine, stage);
    return {read_engine(engine, bundle, machine, stage), engine.at("recipe").at("flags").at("version_compatible").get<bool>()};
  } catch (const Sorted::exception& error) {
    throw EngineError(Message("The record of the engine of " + stage + " is wrong")
                          .got(clipped(error.what(), 120))
                          .hint("Delete the file, then build the engines again."));
  } catch (const std::system_error& error) {
    throw EngineError(Message("Cannot read the engine of " + stage).got(error.what()));
  }
}

}  // namespace hyperstyle

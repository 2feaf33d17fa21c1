#include "files.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <random>
#include <system_error>
#include <thread>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

[[noreturn]] void fail(int code = errno) { throw std::system_error(code, std::generic_category()); }

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  void add(const void* data, std::size_t size) {
    if (EVP_DigestUpdate(context_.get(), data, size) != 1) throw std::bad_alloc();
  }
  std::string hexadecimal() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_.get(), bytes, &size) != 1) throw std::bad_alloc();
    std::string text;
    for (unsigned index = 0; index < size; ++index) {
      text += "0123456789abcdef"[bytes[index] >> 4];
      text += "0123456789abcdef"[bytes[index] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// Names of partial files tell this process from an earlier one of the same number, and its threads apart.
std::string partial_name(const std::string& name) {
  static const unsigned run = std::random_device()();
  static std::atomic<unsigned> count{0};
  char text[80];
  std::snprintf(text, sizeof text, ".partial-%08x-%u-%ld", run, count++, static_cast<long>(getpid()));
  return "." + name + text;
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (!part.empty() && part != ".") parts.push_back(part);
    at = end + 1;
  }
  return parts;
}

OutputError cannot_write(const std::string& path, const std::string& reason) {
  return OutputError(
      Message("Cannot write " + path).got(reason).hint("Check free space and the folder's permissions."));
}

}  // namespace

InputFile::InputFile(const std::string& path) : handle_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (path.find('\0') != std::string::npos) errno = EINVAL;
  struct stat status {};
  if (handle_ < 0 || path.find('\0') != std::string::npos || fstat(handle_, &status) != 0) {
    const int code = errno;
    if (handle_ >= 0) close(handle_);
    fail(code);
  }
  if (!S_ISREG(status.st_mode)) {
    close(handle_);
    fail(S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { close(handle_); }

void InputFile::read(std::uint64_t offset, void* target, std::size_t size) const {
  auto* bytes = static_cast<char*>(target);
  while (size > 0) {
    const ssize_t done = pread(handle_, bytes, size, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail(done == 0 ? EIO : errno);  // the file was cut while it was read
    bytes += done;
    offset += static_cast<std::uint64_t>(done);
    size -= static_cast<std::size_t>(done);
  }
}

std::string read_file(const std::string& path) {
  const InputFile file(path);
  std::string content(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, &content[0], content.size());
  return content;
}

std::string sha256_of_bytes(std::string_view bytes) {
  Digest digest;
  digest.add(bytes.data(), bytes.size());
  return digest.hexadecimal();
}

std::string sha256_of(const std::string& path) {
  const InputFile file(path);
  Digest digest;
  std::vector<char> chunk(1 << 20);
  for (std::uint64_t at = 0; at < file.size();) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), file.size() - at));
    file.read(at, chunk.data(), size);
    digest.add(chunk.data(), size);
    at += size;
  }
  return digest.hexadecimal();
}

std::vector<std::string> sha256_of_all(const std::vector<std::string>& paths) {
  std::vector<std::string> digests(paths.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t index = next++; index < paths.size(); index = next++) digests[index] = sha256_of(paths[index]);
  };
  const std::size_t helpers = std::min<std::size_t>({8, paths.size(), std::max(1u, std::thread::hardware_concurrency())});
  std::vector<std::future<void>> running;
  for (std::size_t index = 0; index < helpers; ++index) running.push_back(std::async(std::launch::async, work));
  for (auto& one : running) one.wait();
  for (auto& one : running) one.get();
  return digests;
}

std::string tidy(const std::string& path) {
  const std::string whole = (path.rfind('/', 0) == 0 ? "/" : "") + joined(parts_of(path), "/");
  return whole.empty() ? "." : whole;
}

std::string inside(const std::string& root, const std::string& name) {
  const std::vector<std::string> parts = parts_of(name);
  if (name.empty() || name.find_first_of(std::string("\0\\:*", 4)) != std::string::npos || name[0] == '/' ||
      std::count(parts.begin(), parts.end(), "..") > 0) {
    throw BundleError(
        Message("A path in the bundle leaves the bundle").got(repr(name)).expected("a plain relative path"));
  }
  const BundleError missing(
      Message("A file of the bundle is missing").got(name).hint("Export the bundle again."));
  std::string path = root;
  struct stat status {};
  for (const std::string& part : parts) {
    path += "/" + part;
    if (lstat(path.c_str(), &status) != 0) throw missing;
    if (S_ISLNK(status.st_mode)) {
      throw BundleError(Message("A path in the bundle goes through a symbolic link").got(repr(name)));
    }
  }
  if (stat(path.c_str(), &status) != 0) throw missing;
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1) {
    throw BundleError(Message("A file of the bundle is not a plain file of its own").got(repr(name)));
  }
  return path;
}

void write_all(std::FILE* file, const void* data, std::size_t size) {
  if (size > 0 && std::fwrite(data, 1, size, file) != size) fail();
}

void write_atomically(const std::string& given, const std::function<void(std::FILE*)>& write) {
  const std::string path = tidy(given);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string name = path.substr(folder.size());
  if (name.empty() || path == "." || name.find('\0') != std::string::npos) {
    throw OutputError(Message("Cannot write " + path).got("a path without a name of its own"));
  }
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw OutputError(
        Message("Cannot write " + path).got("a folder or a device of that name").expected("a file"));
  }
  const std::string partial = folder + partial_name(name);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(partial.c_str(), "wbe"), std::fclose);
  if (!file) throw cannot_write(path, std::strerror(errno));
  try {
    write(file.get());
    if (std::fflush(file.get()) != 0 || fsync(fileno(file.get())) != 0 || std::fclose(file.release()) != 0) fail();
    if (std::rename(partial.c_str(), path.c_str()) != 0) fail();
  } catch (const std::system_error& error) {
    unlink(partial.c_str());
    throw cannot_write(path, std::strerror(error.code().value()));
  } catch (...) {
    unlink(partial.c_str());
    throw;
  }
}

}  // namespace hyperstyle

// Files that are whole or not there: atomic writes, content hashes, and paths that stay inside their folder.
#ifndef HYPERSTYLE_DEPLOY_FILES_HPP
#define HYPERSTYLE_DEPLOY_FILES_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hyperstyle {

// A file that is open for reading; throws std::system_error.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  std::uint64_t size() const { return size_; }
  // Read exactly `size` bytes at `offset`; a shorter file is an error.
  void read(std::uint64_t offset, void* target, std::size_t size) const;

 private:
  int handle_;
  std::uint64_t size_ = 0;
};

// The whole content; throws std::system_error.
std::string read_file(const std::string& path);

// SHA-256 as 64 hexadecimal digits: of bytes, of a file, and of several files at once, on several threads.
std::string sha256_of_bytes(std::string_view bytes);
std::string sha256_of(const std::string& path);
std::vector<std::string> sha256_of_all(const std::vector<std::string>& paths);

// A path as pathlib shows it: no "." and no doubled or last slash.
std::string tidy(const std::string& path);

// The regular file `name` below `root`, proved to be there and nowhere else. Throws BundleError: the name is absolute,
// climbs out, holds NUL or a backslash; or the file is missing, is reached through a link, has a second hard link, or
// is not a regular file.
std::string inside(const std::string& root, const std::string& name);

// Let `write` fill a temporary sibling, then rename it to `path`, or remove it if anything fails. Throws OutputError:
// `path` is a folder or a device, the folder is read-only or the disk is full.
void write_atomically(const std::string& path, const std::function<void(std::FILE*)>& write);

// fwrite that throws std::system_error.
void write_all(std::FILE* file, const void* data, std::size_t size);

}  // namespace hyperstyle

#endif

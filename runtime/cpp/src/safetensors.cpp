#include "safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "json.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

struct Dtype {
  const char* name;
  std::uint64_t bytes;
};

constexpr std::array<Dtype, 17> dtypes{{{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                        {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},     {"BF16", 2},
                                        {"I32", 4},  {"U32", 4}, {"F32", 4}, {"F64", 8},     {"I64", 8},
                                        {"U64", 8},  {"C64", 8}}};

std::uint64_t item_bytes(const std::string& dtype) {
  for (const Dtype& known : dtypes) {
    if (dtype == known.name) return known.bytes;
  }
  throw SafetensorsError("unknown dtype " + clipped(repr(dtype), 40));
}

std::uint64_t size_at(const Json& value) {
  if (!value.is_number_unsigned()) throw SafetensorsError("a size that is no whole number");
  return value.get<std::uint64_t>();
}

std::uint64_t product(std::uint64_t left, std::uint64_t right) {
  std::uint64_t result = 0;
  if (__builtin_mul_overflow(left, right, &result) || result > INT64_MAX) throw SafetensorsError("a size past 64 bits");
  return result;
}

StoredTensor read_tensor(const std::string& name, const Json& value) {
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
      !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
      value["data_offsets"].size() != 2) {
    throw SafetensorsError("an entry without dtype, shape and data_offsets");
  }
  StoredTensor tensor{name, value["dtype"].get<std::string>(), {}, 0, 0};
  std::uint64_t bytes = item_bytes(tensor.dtype);
  for (const Json& size : value["shape"]) {
    bytes = product(bytes, size_at(size));
    tensor.shape.push_back(static_cast<std::int64_t>(product(size_at(size), 1)));
  }
  const std::uint64_t start = size_at(value["data_offsets"][0]), end = size_at(value["data_offsets"][1]);
  if (end < start || end - start != bytes) throw SafetensorsError("a tensor whose offsets do not fit its shape");
  tensor.offset = start;
  tensor.bytes = bytes;
  return tensor;
}

std::map<std::string, std::string> read_metadata(const Json& value) {
  std::map<std::string, std::string> metadata;
  if (value.is_null()) return metadata;
  if (!value.is_object()) throw SafetensorsError("metadata that is no object");
  for (const auto& item : value.items()) {
    if (!item.value().is_string()) throw SafetensorsError("metadata that is no text");
    metadata[item.key()] = item.value().get<std::string>();
  }
  return metadata;
}

// Tensors must follow each other without gaps from the body's start to the file's end.
void place(std::vector<StoredTensor>& tensors, std::uint64_t body, std::uint64_t file_size) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const StoredTensor& left, const StoredTensor& right) {
    return std::tie(left.offset, left.bytes) < std::tie(right.offset, right.bytes);
  });
  std::uint64_t at = 0;
  for (StoredTensor& tensor : tensors) {
    if (tensor.offset != at) throw SafetensorsError("tensors with gaps or overlaps");
    at += tensor.bytes;
    if (at > file_size) break;
    tensor.offset += body;
  }
  if (at != file_size - body) throw SafetensorsError("a header that does not cover the file");
}

}  // namespace

std::string SafetensorsHeader::text(const char* key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "none" : found->second;
}

SafetensorsHeader read_header(const InputFile& file, std::uint64_t max_header) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length) throw SafetensorsError("a file without a header");
  unsigned char bytes[sizeof length];
  file.read(0, bytes, sizeof length);
  for (int index = 7; index >= 0; --index) length = length << 8 | bytes[index];
  if (length > max_header) throw SafetensorsError("a header that is too large");
  if (length > file.size() - sizeof length) throw SafetensorsError("a header past the end");
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(sizeof length, &text[0], text.size());
  if (text.empty() || text[0] != '{') throw SafetensorsError("a header that is no object");
  SafetensorsHeader header;
  try {
    const Json document = parse_json(text);
    for (const auto& item : document.items()) {
      if (item.key() == "__metadata__") {
        header.metadata = read_metadata(item.value());
      } else {
        header.tensors.push_back(read_tensor(item.key(), item.value()));
      }
    }
  } catch (const JsonError& error) {
    throw SafetensorsError(std::string("a header that is not JSON: ") + error.what());
  }
  place(header.tensors, sizeof length + length, file.size());
  return header;
}

std::string written_header(const std::map<std::string, std::string>& metadata,
                           const std::vector<StoredTensor>& tensors) {
  Json document = Json::object();
  document["__metadata__"] = metadata;
  for (const StoredTensor& tensor : tensors) {
    document[tensor.name] = {{"dtype", tensor.dtype},
                             {"shape", tensor.shape},
                             {"data_offsets", {tensor.offset, tensor.offset + tensor.bytes}}};
  }
  std::string text = document.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string written;
  for (int shift = 0; shift < 64; shift += 8) written += static_cast<char>(text.size() >> shift & 0xff);
  return written + text;
}

}  // namespace hyperstyle

#include "onnx_paths.hpp"

#include <cstdint>
#include <functional>
#include <vector>

#include "hyperstyle_deploy/errors.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

enum Kind { model, training, function, graph, node, attribute, sparse, tensor, entry };

struct Below {
  Kind kind;
  std::uint64_t field;
  Kind below;
};

// Message, field number, message below it; onnx.proto's numbers, the same in every version of the format.
constexpr Below table[] = {
    {model, 7, graph},      {model, 20, training},   {model, 25, function},  {training, 1, graph},
    {training, 2, graph},   {function, 7, node},     {function, 11, attribute}, {graph, 1, node},
    {graph, 5, tensor},     {graph, 15, sparse},     {node, 5, attribute},   {attribute, 5, tensor},
    {attribute, 6, graph},  {attribute, 10, tensor}, {attribute, 11, graph}, {attribute, 22, sparse},
    {attribute, 23, sparse}, {sparse, 1, tensor},    {sparse, 2, tensor},    {tensor, 13, entry},
};
constexpr int max_depth = 100;  // protobuf's own limit
constexpr std::size_t max_messages = 200000;
constexpr std::uint64_t max_tag = 0xffffffff;

struct Pending {
  Kind kind;
  std::string_view message;
  int depth;
};

BundleError not_onnx(const std::string& got) {
  return BundleError(Message("A graph of the bundle is not ONNX").got(got));
}

std::uint64_t varint(std::string_view message, std::size_t& at) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && at < message.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(message[at++]);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    // No writer makes more than 64 bits or more bytes than needed, and readers differ in what they take them for.
    if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) break;
    return value;
  }
  throw not_onnx("a damaged number");
}

// Calls `visit` with every length-delimited field; numbers are skipped.
void fields(std::string_view message, const std::function<void(std::uint64_t, std::string_view)>& visit) {
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t tag = varint(message, at);
    const auto wire = static_cast<unsigned>(tag & 7);
    if (tag < 8 || tag > max_tag) throw not_onnx("the number of a field that cannot be");
    if (wire == 2) {
      const std::uint64_t length = varint(message, at);
      if (length > message.size() - at) throw not_onnx("a field past the end");
      visit(tag >> 3, message.substr(at, static_cast<std::size_t>(length)));
      at += static_cast<std::size_t>(length);
    } else if (wire == 1 || wire == 5) {
      at += wire == 1 ? 8 : 4;
    } else if (wire == 0) {
      varint(message, at);
    } else {
      throw not_onnx("wire type " + std::to_string(wire));
    }
  }
}

// A key and a value; `location` is the key of a file.
void read_entry(std::string_view message, std::set<std::string>& locations) {
  std::string_view key, value;
  fields(message, [&](std::uint64_t number, std::string_view content) {
    if (number == 1) key = content;
    if (number == 2) value = content;
  });
  if (key == "location") locations.insert(backslash_replaced(value));
}

}  // namespace

std::set<std::string> external_locations(std::string_view content) {
  std::set<std::string> locations;
  std::vector<Pending> pending{{model, content, 0}};
  std::size_t messages = 0;
  while (!pending.empty()) {
    if (++messages > max_messages) {
      throw BundleError(Message("A graph of the bundle has too many parts").expected("at most 200,000"));
    }
    const Pending next = pending.back();
    pending.pop_back();
    if (next.depth > max_depth) throw BundleError(Message("A graph of the bundle is nested too deeply"));
    if (next.kind == entry) {
      read_entry(next.message, locations);
      continue;
    }
    fields(next.message, [&](std::uint64_t number, std::string_view value) {
      for (const Below& row : table) {
        if (row.kind == next.kind && row.field == number) pending.push_back({row.below, value, next.depth + 1});
      }
    });
  }
  return locations;
}

}  // namespace hyperstyle

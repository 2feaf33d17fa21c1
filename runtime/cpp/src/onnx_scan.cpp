#include "onnx_scan.hpp"

#include <cstdint>
#include <functional>
#include <vector>

#include "hyperstyle_deploy/errors.hpp"
#include "operators.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

enum Kind { model, graph, node, attribute, sparse, tensor, entry };

struct Below {
  Kind kind;
  std::uint64_t field;
  Kind below;
};

// Message, field number, message below it; onnx.proto's numbers, the same in every version of the format.
constexpr Below table[] = {
    {model, 7, graph},      {graph, 1, node},         {graph, 5, tensor},      {graph, 15, sparse},
    {node, 5, attribute},   {attribute, 5, tensor},   {attribute, 10, tensor}, {attribute, 22, sparse},
    {attribute, 23, sparse}, {sparse, 1, tensor},     {sparse, 2, tensor},     {tensor, 13, entry},
};

// Message, wire type, the fields of it that onnx.proto has, as bits.
struct Known {
  Kind kind;
  unsigned wire;
  std::uint32_t fields;
};

template <typename... Numbers>
constexpr std::uint32_t bits(Numbers... numbers) {
  return ((std::uint32_t{1} << numbers) | ...);
}

constexpr unsigned wire_number = 0, wire_double = 1, wire_bytes = 2, wire_float = 5;
constexpr Known known[] = {
    {model, wire_number, bits(1, 5)},
    {model, wire_bytes, bits(2, 3, 4, 6, 7, 8, 14)},
    {graph, wire_bytes, bits(1, 2, 5, 10, 11, 12, 13, 14, 15, 16)},
    {node, wire_bytes, bits(1, 2, 3, 4, 5, 6, 7, 8, 9)},
    {attribute, wire_number, bits(3, 8, 20)},
    {attribute, wire_float, bits(2, 7)},
    {attribute, wire_bytes, bits(1, 4, 5, 7, 8, 9, 10, 13, 14, 15, 21, 22, 23)},
    {sparse, wire_number, bits(3)},
    {sparse, wire_bytes, bits(1, 2, 3)},
    {tensor, wire_number, bits(1, 2, 5, 7, 11, 14)},
    {tensor, wire_float, bits(4)},
    {tensor, wire_double, bits(10)},
    {tensor, wire_bytes, bits(1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16)},
    {entry, wire_bytes, bits(1, 2)},
};

struct Refused {
  Kind kind;
  std::uint64_t field;
  const char* what;
};

// What could hold nodes besides the one graph.
constexpr Refused refused[] = {
    {model, 20, "training information"},
    {model, 25, "functions"},
    {attribute, 6, "a graph inside a node"},
    {attribute, 11, "graphs inside a node"},
};
constexpr std::size_t max_fields = 250000;
constexpr std::uint64_t max_tag = 0xffffffff;

struct Pending {
  Kind kind;
  std::string_view message;
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

struct Field {
  std::uint64_t number;
  unsigned wire;
  std::string_view value;
};

// Calls `visit` with every field.
void fields(std::string_view message, const std::function<void(const Field&)>& visit) {
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t tag = varint(message, at);
    const auto wire = static_cast<unsigned>(tag & 7);
    if (tag < 8 || tag > max_tag) throw not_onnx("the number of a field that cannot be");
    std::uint64_t length = wire == wire_double ? 8 : wire == wire_float ? 4 : 0;
    if (wire == wire_number) {
      varint(message, at);
    } else if (wire == wire_bytes) {
      length = varint(message, at);
    } else if (length == 0) {
      throw not_onnx("wire type " + std::to_string(wire));
    }
    if (length > message.size() - at) throw not_onnx("a field past the end");
    visit({tag >> 3, wire, message.substr(at, static_cast<std::size_t>(length))});
    at += static_cast<std::size_t>(length);
  }
}

void check_field(Kind kind, const Field& field) {
  static const char* const names[] = {"model", "graph", "node", "attribute", "sparse", "tensor", "entry"};
  for (const Refused& row : refused) {
    if (row.kind == kind && row.field == field.number) {
      throw BundleError(Message("A graph of the bundle is more than a graph").got(row.what));
    }
  }
  for (const Known& row : known) {
    if (row.kind == kind && row.wire == field.wire && field.number < 32 && (row.fields >> field.number & 1) != 0) return;
  }
  throw not_onnx("field " + std::to_string(field.number) + " in a " + names[kind]);
}

// A key and a value; `location` is the key of a file.
void read_entry(std::string_view message, std::set<std::string>& locations) {
  std::string_view key, value;
  fields(message, [&](const Field& field) {
    if (field.number == 1) key = field.value;
    if (field.number == 2) value = field.value;
  });
  if (key == "location") locations.insert(backslash_replaced(value));
}

// A node: one name, at most one domain, both of the list.
void check_operator(std::string_view message) {
  std::vector<std::string> names, domains;
  fields(message, [&](const Field& field) {
    if (field.number == 4) names.push_back(backslash_replaced(field.value));
    if (field.number == 7) domains.push_back(backslash_replaced(field.value));
  });
  const std::string domain = domains.empty() ? "" : domains[0];
  if (names.size() == 1 && domains.size() <= 1 && is_operator(domain == "ai.onnx" ? "" : domain, names[0])) return;
  const std::string name = names.empty() ? "" : names[0];
  throw BundleError(Message("A graph of the bundle has an operator that no export writes")
                        .got(domain.empty() ? name : domain + "::" + name)
                        .expected("operators that end by themselves and make nothing large from little"));
}

}  // namespace

std::set<std::string> scan_graph(std::string_view content) {
  std::set<std::string> locations;
  std::vector<Pending> pending{{model, content}};
  std::size_t left = max_fields;
  while (!pending.empty()) {
    const Pending next = pending.back();
    pending.pop_back();
    fields(next.message, [&](const Field& field) {
      if (left-- == 0) {
        throw BundleError(Message("A graph of the bundle has too many parts").expected("at most 250,000"));
      }
      check_field(next.kind, field);
      for (const Below& row : table) {
        if (row.kind == next.kind && row.field == field.number) pending.push_back({row.below, field.value});
      }
    });
    if (next.kind == entry) read_entry(next.message, locations);
    if (next.kind == node) check_operator(next.message);
  }
  return locations;
}

}  // namespace hyperstyle

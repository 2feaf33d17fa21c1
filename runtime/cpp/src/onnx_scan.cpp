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
constexpr std::size_t max_messages = 200000;
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

// A node: one name, at most one domain, both of the list.
void check_operator(std::string_view message) {
  std::vector<std::string> names, domains;
  fields(message, [&](std::uint64_t number, std::string_view content) {
    if (number == 4) names.push_back(backslash_replaced(content));
    if (number == 7) domains.push_back(backslash_replaced(content));
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
  std::size_t messages = 0;
  while (!pending.empty()) {
    if (++messages > max_messages) {
      throw BundleError(Message("A graph of the bundle has too many parts").expected("at most 200,000"));
    }
    const Pending next = pending.back();
    pending.pop_back();
    if (next.kind == entry) read_entry(next.message, locations);
    if (next.kind == node) check_operator(next.message);
    fields(next.message, [&](std::uint64_t number, std::string_view value) {
      for (const Refused& row : refused) {
        if (row.kind == next.kind && row.field == number) {
          throw BundleError(Message("A graph of the bundle is more than a graph").got(row.what));
        }
      }
      for (const Below& row : table) {
        if (row.kind == next.kind && row.field == number) pending.push_back({row.below, value});
      }
    });
  }
  return locations;
}

}  // namespace hyperstyle

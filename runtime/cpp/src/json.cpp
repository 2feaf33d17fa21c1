#include "json.hpp"

#include <set>
#include <vector>

namespace hyperstyle {
namespace {

constexpr int max_depth = 32;  // our own documents need eight
constexpr int max_fields = 20'000;

}  // namespace

Json parse_json(std::string_view text) {
  // The parser takes NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) throw JsonError("a NUL");
  int fields = 0;
  std::vector<std::set<std::string>> keys;  // of the objects that are open, by depth
  const auto bounded = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > max_depth) throw JsonError("nested too deeply");
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) {
      keys.resize(level + 2);
      keys[level + 1].clear();
    }
    if (event == Json::parse_event_t::key) {
      if (++fields > max_fields) throw JsonError("too many fields");
      // Readers differ in which of two they take.
      if (!keys.at(level).insert(value.get<std::string>()).second) throw JsonError("a key that stands twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), bounded);
  } catch (const Json::exception& error) {
    throw JsonError(error.what());
  }
}

}  // namespace hyperstyle

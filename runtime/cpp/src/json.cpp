#include "json.hpp"

namespace hyperstyle {
namespace {

constexpr int max_depth = 100;
constexpr int max_fields = 20'000;

}  // namespace

Json parse_json(std::string_view text) {
  // The parser takes NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) throw JsonError("a NUL");
  int fields = 0;
  const auto bounded = [&](int depth, Json::parse_event_t event, Json&) {
    if (depth > max_depth) throw JsonError("nested too deeply");
    if (event == Json::parse_event_t::key && ++fields > max_fields) throw JsonError("too many fields");
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), bounded);
  } catch (const Json::exception& error) {
    throw JsonError(error.what());
  }
}

}  // namespace hyperstyle

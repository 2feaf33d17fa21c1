#include "json.hpp"

#include "text.hpp"

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

std::string repr(const Json& value) {
  std::vector<std::string> parts;
  switch (value.type()) {
    case Json::value_t::boolean:
      return value.get<bool>() ? "True" : "False";
    case Json::value_t::number_integer:
      return std::to_string(value.get<std::int64_t>());
    case Json::value_t::number_unsigned:
      return std::to_string(value.get<std::uint64_t>());
    case Json::value_t::number_float:
      return repr(value.get<double>());
    case Json::value_t::string:
      return repr(value.get_ref<const std::string&>());
    case Json::value_t::array:
      for (const Json& item : value) parts.push_back(repr(item));
      return "[" + joined(parts) + "]";
    case Json::value_t::object:
      for (const auto& item : value.items()) parts.push_back(repr(item.key()) + ": " + repr(item.value()));
      return "{" + joined(parts) + "}";
    default:
      return "None";
  }
}

std::string type_name(const Json& value) {
  if (value.is_null()) return "NoneType";
  if (value.is_boolean()) return "bool";
  if (value.is_number_integer()) return "int";
  if (value.is_number_float()) return "float";
  if (value.is_string()) return "str";
  return value.is_array() ? "list" : "dict";
}

}  // namespace hyperstyle

#include "schema.hpp"

#include <algorithm>
#include <cstdint>

namespace hyperstyle {
namespace {

BundleError not_of_type(const Json& value, const std::string& where, const std::string& expected) {
  return wrong(where, clipped(value.dump(), 80), expected);
}

}  // namespace

const Json& object(const Json& value, const std::string& where) {
  if (!value.is_object()) throw not_of_type(value, where, "an object");
  return value;
}

const Json& list(const Json& value, const std::string& where) {
  if (!value.is_array()) throw not_of_type(value, where, "a list");
  return value;
}

std::string text(const Json& value, const std::string& where) {
  if (!value.is_string()) throw not_of_type(value, where, "a text");
  return value.get<std::string>();
}

std::int64_t integer(const Json& value, const std::string& where) {
  // JSON has integers of any size; past 64 bits none of the schema's make sense.
  const bool fits = !value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX;
  if (!value.is_number_integer() || !fits) throw not_of_type(value, where, "a whole number");
  return value.get<std::int64_t>();
}

bool boolean(const Json& value, const std::string& where) {
  if (!value.is_boolean()) throw not_of_type(value, where, "true or false");
  return value.get<bool>();
}

Fields::Fields(const Json& value, std::string where, std::initializer_list<const char*> names,
               std::initializer_list<const char*> optional)
    : value_(object(value, where)), where_(std::move(where)) {
  std::vector<std::string> missing, unknown;
  for (const char* name : names) {
    if (!value_.contains(name)) missing.emplace_back(name);
  }
  for (const auto& entry : value_.items()) {
    const auto listed = [&](const auto& those) {
      return std::find(those.begin(), those.end(), entry.key()) != those.end();
    };
    if (!listed(names) && !listed(optional)) unknown.push_back(entry.key());
  }
  if (missing.empty() && unknown.empty()) return;
  std::sort(missing.begin(), missing.end());
  std::sort(unknown.begin(), unknown.end());
  throw wrong(where_, "missing " + repr(missing) + ", unknown " + repr(unknown), "exactly the fields of the schema");
}

}  // namespace hyperstyle

// Typed values out of JSON, read strictly: exactly the declared fields, of exactly the declared types.
#ifndef HYPERSTYLE_DEPLOY_SCHEMA_HPP
#define HYPERSTYLE_DEPLOY_SCHEMA_HPP

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "hyperstyle_deploy/errors.hpp"
#include "json.hpp"
#include "text.hpp"

namespace hyperstyle {

// "bundle.json: <where> is wrong. Got: ... Expected: ..."
BundleError wrong(const std::string& where, const std::string& got, const std::string& expected);

// Each throws BundleError for a value of another type.
const Json& object(const Json& value, const std::string& where);
const Json& list(const Json& value, const std::string& where);
const std::string& text(const Json& value, const std::string& where);
std::int64_t integer(const Json& value, const std::string& where);
bool boolean(const Json& value, const std::string& where);

// An object with exactly these fields.
class Fields {
 public:
  Fields(const Json& value, std::string where, std::initializer_list<const char*> names);
  const Json& operator[](const char* name) const { return value_.at(name); }
  std::string where(const char* name) const { return where_ + ": " + name; }

 private:
  const Json& value_;
  std::string where_;
};

// Every item of a list, read by `read(item, where)`.
template <typename Item, typename Read>
std::vector<Item> items(const Json& value, const std::string& where, Read read) {
  std::vector<Item> found;
  for (const Json& item : list(value, where)) {
    found.push_back(read(item, where + "[" + std::to_string(found.size()) + "]"));
  }
  return found;
}

// Every entry of an object, in the document's order.
template <typename Item, typename Read>
std::vector<std::pair<std::string, Item>> entries(const Json& value, const std::string& where, Read read) {
  std::vector<std::pair<std::string, Item>> found;
  for (const auto& entry : object(value, where).items()) {
    found.emplace_back(entry.key(), read(entry.value(), where + "[" + entry.key() + "]"));
  }
  return found;
}

}  // namespace hyperstyle

#endif

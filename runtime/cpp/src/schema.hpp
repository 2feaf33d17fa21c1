// Typed values out of JSON, read strictly: exactly the declared fields, of exactly the declared types.
#ifndef HYPERSTYLE_DEPLOY_SCHEMA_HPP
#define HYPERSTYLE_DEPLOY_SCHEMA_HPP

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "json.hpp"
#include "manifest_checks.hpp"
#include "text.hpp"

namespace hyperstyle {

// Each throws BundleError for a value of another type.
const Json& object(const Json& value, const std::string& where);
const Json& list(const Json& value, const std::string& where);
std::string text(const Json& value, const std::string& where);
std::int64_t integer(const Json& value, const std::string& where);
bool boolean(const Json& value, const std::string& where);

// An object with exactly these fields, of which `optional` ones may be left out.
class Fields {
 public:
  Fields(const Json& value, std::string where, std::initializer_list<const char*> names,
         std::initializer_list<const char*> optional = {});

  bool has(const char* name) const { return value_.contains(name); }

  const Json& operator[](const char* name) const { return value_.at(name); }
  std::string where(const char* name) const { return where_ + "." + name; }

  std::string text(const char* name) const { return hyperstyle::text(value_.at(name), where(name)); }
  std::int64_t integer(const char* name) const { return hyperstyle::integer(value_.at(name), where(name)); }
  bool boolean(const char* name) const { return hyperstyle::boolean(value_.at(name), where(name)); }

  // Every item of a list, read by `read(item, where)`.
  template <typename Item, typename Read>
  std::vector<Item> items(const char* name, Read read) const {
    std::vector<Item> found;
    for (const Json& item : list(value_.at(name), where(name))) {
      found.push_back(read(item, where(name) + "[" + std::to_string(found.size()) + "]"));
    }
    return found;
  }

  // Every entry of an object, in the document's order.
  template <typename Item, typename Read>
  std::vector<std::pair<std::string, Item>> entries(const char* name, Read read) const {
    std::vector<std::pair<std::string, Item>> found;
    for (const auto& entry : object(value_.at(name), where(name)).items()) {
      found.emplace_back(entry.key(), read(entry.value(), where(name) + "[" + entry.key() + "]"));
    }
    return found;
  }

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace hyperstyle

#endif

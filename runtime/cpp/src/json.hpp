// JSON from strangers: bounded in depth and fields.
#ifndef HYPERSTYLE_DEPLOY_JSON_HPP
#define HYPERSTYLE_DEPLOY_JSON_HPP

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hyperstyle {

// Objects keep their order: errors name the first fault of the document.
using Json = nlohmann::ordered_json;

// Why a text is no JSON for us.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Parse UTF-8 text. Throws JsonError: it is no JSON, nested deeper than 100 levels, or has more than 20 000 fields (a
// manifest has about 2 000, and looking up a field takes time in proportion).
Json parse_json(std::string_view text);

}  // namespace hyperstyle

#endif

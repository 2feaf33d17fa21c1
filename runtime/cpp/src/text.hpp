// Error texts: sentences, escaped names, and ways to show a value.
#ifndef HYPERSTYLE_DEPLOY_TEXT_HPP
#define HYPERSTYLE_DEPLOY_TEXT_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hyperstyle {

// "What. Got: ... Expected: ... Hint", each part if it is given.
class Message {
 public:
  explicit Message(const std::string& what) : text_(what + ".") {}
  Message& got(const std::string& value) { return part(" Got: ", value); }
  Message& expected(const std::string& value) { return part(" Expected: ", value); }
  Message& hint(const std::string& sentence);
  operator std::string() const;  // what a hostile name could do to a terminal is escaped

 private:
  Message& part(const char* label, const std::string& value);
  std::string text_;
};

// A code point at `at`, which moves past it; a byte that is not UTF-8 gives invalid_byte + its value.
constexpr std::uint32_t invalid_byte = 0x110000;
std::uint32_t next_code_point(std::string_view text, std::size_t& at);

bool is_utf8(std::string_view text);

// Whether it is 1 to 64 letters, digits, "_" and ".": the name of a layer or an array.
bool is_plain(std::string_view name);

// Invalid bytes as \xNN, like Python's "backslashreplace".
std::string backslash_replaced(std::string_view text);

// A text in quotes, with what could be mistaken in it escaped; a list of such; a list of numbers.
std::string repr(const std::string& text);
std::string repr(const std::vector<std::string>& texts);
std::string repr(const std::vector<std::int64_t>& numbers);

// The first `count` characters (not bytes).
std::string clipped(const std::string& text, std::size_t count);

std::string joined(const std::vector<std::string>& texts, const char* between = ", ");

}  // namespace hyperstyle

#endif

#include "text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace hyperstyle {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// Control, format, surrogate and private-use characters, and separators but the space (Unicode's Cc, Cf, Cs, Co, Zl,
// Zp, Zs). Python also escapes unassigned code points, which need a table of every Unicode version.
constexpr std::array<Range, 29> hidden{{
    {0x00, 0x1f},       {0x7f, 0xa0},       {0xad, 0xad},         {0x600, 0x605},       {0x61c, 0x61c},
    {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},       {0x8e2, 0x8e2},       {0x1680, 0x1680},
    {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},     {0x205f, 0x2064},     {0x2066, 0x206f},
    {0x3000, 0x3000},   {0xd800, 0xf8ff},   {0xfeff, 0xfeff},     {0xfff9, 0xfffb},     {0x110bd, 0x110bd},
    {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3},   {0x1d173, 0x1d17a},   {0xe0001, 0xe0001},
    {0xe0020, 0xe007f}, {0xf0000, 0xffffd}, {0x100000, 0x10fffd}, {0x110000, 0x1100ff},
}};

bool is_printable(std::uint32_t point) {
  for (const Range& range : hidden) {
    if (point >= range.first && point <= range.last) return false;
  }
  return true;
}

// Python's "unicode_escape" of one character.
std::string escaped(std::uint32_t point) {
  if (point == '\t') return "\\t";
  if (point == '\n') return "\\n";
  if (point == '\r') return "\\r";
  std::array<char, 16> text{};
  if (point >= invalid_byte) {
    std::snprintf(text.data(), text.size(), "\\x%02x", static_cast<unsigned>(point - invalid_byte));
  } else {
    const char* format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(point));
  }
  return text.data();
}

template <typename Item>
std::string listed(const std::vector<Item>& items, std::string (*shown)(const Item&)) {
  std::vector<std::string> texts;
  for (const Item& item : items) texts.push_back(shown(item));
  return "[" + joined(texts) + "]";
}

}  // namespace

Message& Message::part(const char* label, const std::string& value) {
  text_ += label + value + ".";
  return *this;
}

Message& Message::hint(const std::string& sentence) {
  text_ += " " + sentence;
  return *this;
}

Message::operator std::string() const {
  std::string safe;
  for (std::size_t at = 0; at < text_.size();) {
    const std::size_t start = at;
    const std::uint32_t point = next_code_point(text_, at);
    safe += is_printable(point) ? text_.substr(start, at - start) : escaped(point);
  }
  return safe;
}

std::uint32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t index) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[index]));
  };
  const std::uint32_t first = byte(at);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  std::uint32_t point = length == 1 ? first : length == 0 ? 0 : first & (0x7fu >> length);
  bool valid = length > 0 && at + length <= text.size();
  for (std::size_t index = 1; valid && index < length; ++index) {
    valid = (byte(at + index) & 0xc0) == 0x80;
    point = point << 6 | (byte(at + index) & 0x3f);
  }
  // Overlong forms, surrogates, and what lies past Unicode's end.
  const bool out = (length == 3 && (point < 0x800 || (point >= 0xd800 && point < 0xe000))) ||
                   (length == 4 && (point < 0x10000 || point > 0x10ffff));
  if (!valid || out) {
    at += 1;
    return invalid_byte + first;
  }
  at += length;
  return point;
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (next_code_point(text, at) >= invalid_byte) return false;
  }
  return true;
}

bool is_plain(std::string_view name) {
  const auto plain = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           letter == '_' || letter == '.';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), plain);
}

std::string backslash_replaced(std::string_view text) {
  std::string replaced;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    const std::uint32_t point = next_code_point(text, at);
    replaced += point >= invalid_byte ? escaped(point) : std::string(text.substr(start, at - start));
  }
  return replaced;
}

std::string repr(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string shown(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    const std::uint32_t point = next_code_point(text, at);
    if (point == static_cast<unsigned char>(quote) || point == '\\') {
      shown += '\\';
      shown += static_cast<char>(point);
    } else {
      shown += is_printable(point) ? text.substr(start, at - start) : escaped(point);
    }
  }
  return shown + quote;
}

std::string repr(const std::vector<std::string>& texts) {
  return listed<std::string>(texts, [](const std::string& text) { return repr(text); });
}

std::string repr(const std::vector<std::int64_t>& numbers) {
  return listed<std::int64_t>(numbers, [](const std::int64_t& number) { return std::to_string(number); });
}

std::string clipped(const std::string& text, std::size_t count) {
  std::size_t at = 0;
  while (at < text.size() && count-- > 0) next_code_point(text, at);
  return text.substr(0, at);
}

std::string joined(const std::vector<std::string>& texts, const char* between) {
  std::string whole;
  for (const std::string& text : texts) whole += (&text == texts.data() ? "" : between) + text;
  return whole;
}

}  // namespace hyperstyle

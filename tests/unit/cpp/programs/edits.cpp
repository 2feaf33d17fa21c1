#include "edits.hpp"

#include <cstring>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "files.hpp"
#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"

namespace hs = hyperstyle;

namespace {

using Words = std::vector<std::string>;
using Pixels = std::vector<std::uint8_t>;
using CSession = std::unique_ptr<HyperstyleSession, decltype(&hyperstyle_close)>;
using CInversion = std::unique_ptr<HyperstyleInversion, decltype(&hyperstyle_inversion_free)>;

void done(int code) {
  if (code != HYPERSTYLE_OK) throw std::runtime_error(std::string("C: ") + hyperstyle_error());
}

// With one thread, as bits can depend on how many share a sum.
hs::Session session_of(const std::string& bundle, const std::string& generator) {
  hs::Options options;
  options.generator = generator;
  options.threads = 1;
  return hs::Session(hs::Bundle::open(bundle), options);
}

CSession c_session_of(const std::string& bundle, const std::string& generator) {
  HyperstyleOptions options = HYPERSTYLE_OPTIONS;
  options.generator = generator.empty() ? nullptr : generator.c_str();
  options.threads = 1;
  HyperstyleSession* session = nullptr;
  done(hyperstyle_open(bundle.c_str(), &options, &session));
  return {session, hyperstyle_close};
}

CInversion c_inversion_of(const std::string& path) {
  HyperstyleInversion* inversion = nullptr;
  done(hyperstyle_inversion_load(path.c_str(), &inversion));
  return {inversion, hyperstyle_inversion_free};
}

// Edits out of texts, in C++ and in C.
class Edits {
 public:
  Edits(Words::const_iterator first, Words::const_iterator last) {
    for (; first != last; ++first) add(*first);
  }

  const std::vector<hs::Edit>& listed() const { return listed_; }

  std::vector<HyperstyleEdit> in_c() const {
    std::vector<HyperstyleEdit> edits;
    for (const Parts& one : parts_) {
      edits.push_back({one.strengths.data(), static_cast<std::int64_t>(one.strengths.size()), one.mixes.data(),
                       static_cast<std::int64_t>(one.mixes.size())});
    }
    return edits;
  }

 private:
  struct Parts {
    std::vector<std::unique_ptr<std::string>> names;
    std::vector<CInversion> people;
    std::vector<HyperstyleStrength> strengths;
    std::vector<HyperstyleMix> mixes;
  };

  void add(const std::string& text) {
    listed_.emplace_back();
    parts_.emplace_back();
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) {
      const std::size_t equals = part.find('=');
      const std::string what = part.substr(0, equals);
      const double strength = std::stod(part.substr(equals + 1));
      what.find(':') == std::string::npos ? move(what, strength) : mix(what, strength);
    }
  }

  void move(const std::string& name, double strength) {
    Parts& parts = parts_.back();
    listed_.back().push_back({name, strength});
    parts.names.push_back(std::make_unique<std::string>(name));
    parts.strengths.push_back({parts.names.back()->c_str(), strength});
  }

  void mix(const std::string& text, double strength) {
    Parts& parts = parts_.back();
    std::istringstream stream(text);
    std::string first, end, path;
    std::getline(std::getline(std::getline(stream, first, ':'), end, ':'), path);
    const std::int64_t rows[] = {std::stol(first), std::stol(end)};
    listed_.back().push_back({hs::Mix{hs::Inversion::load(path), rows[0], rows[1]}, strength});
    parts.people.push_back(c_inversion_of(path));
    parts.mixes.push_back({parts.people.back().get(), rows[0], rows[1], strength});
  }

  std::vector<hs::Edit> listed_;
  std::vector<Parts> parts_;
};

Pixels joined(const std::vector<hs::Image>& images) {
  Pixels pixels;
  for (const hs::Image& image : images) pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  return pixels;
}

void same(const Pixels& from_c, const Pixels& pixels) {
  if (from_c != pixels) throw std::runtime_error("C draws other pixels.");
}

// What C++ refuses, C refuses with the same code and text.
void same(int code, const hs::Error& error) {
  if (code != static_cast<int>(error.code()) || std::strcmp(hyperstyle_error(), error.what()) != 0) {
    throw std::runtime_error(std::string("C gives ") + std::to_string(code) + ": " + hyperstyle_error());
  }
}

void write(const std::string& path, const Pixels& pixels) {
  hs::write_atomically(path, [&](std::FILE* file) { hs::write_all(file, pixels.data(), pixels.size()); });
}

}  // namespace

void edit(const Words& words) {
  const hs::Session session = session_of(words.at(1), words.at(2));
  const hs::Inversion person = hs::Inversion::load(words.at(3));
  const CSession c_session = c_session_of(words.at(1), words.at(2));
  const CInversion c_person = c_inversion_of(words.at(3));
  const Edits edits(words.begin() + 5, words.end());
  const std::vector<HyperstyleEdit> in_c = edits.in_c();
  const std::int64_t bytes = 3 * session.manifest().image_height() * session.manifest().image_width();
  Pixels from_c(in_c.size() * static_cast<std::size_t>(bytes));
  const int code = hyperstyle_edit(c_session.get(), c_person.get(), in_c.data(), static_cast<std::int64_t>(in_c.size()),
                                   from_c.data());
  Pixels pixels;
  try {
    pixels = joined(session.edit(person, edits.listed()));
  } catch (const hs::Error& error) {
    same(code, error);
    throw;
  }
  done(code);
  same(from_c, pixels);
  const hs::Floats codes = session.edited_codes(person, edits.listed());
  hs::write_atomically(words.at(4), [&](std::FILE* file) {
    hs::write_all(file, codes.values.data(), codes.values.size() * sizeof(float));
    hs::write_all(file, pixels.data(), pixels.size());
  });
}

void draw(const Words& words) {
  hs::Options options;
  options.method = words.at(2);
  const hs::Session session(hs::Bundle::open(words.at(1)), options);
  const Edits edits(words.begin() + 5, words.end());
  write(words.at(4), joined(session.edit(hs::Inversion::load(words.at(3)), edits.listed())));
}

void styles(const Words& words) {
  const hs::Session session = session_of(words.at(1), words.at(2));
  const hs::Inversion person = hs::Inversion::load(words.at(3));
  const std::string content = hs::read_file(words.at(4));
  const auto* first = reinterpret_cast<const float*>(content.data());
  hs::Floats added{{0, session.style_channels()}, {first, first + content.size() / sizeof(float)}};
  added.shape[0] = static_cast<std::int64_t>(added.values.size()) / added.shape[1];
  hs::Floats codes = person.codes();
  codes.shape.insert(codes.shape.begin(), added.shape[0]);
  for (std::int64_t row = 1; row < added.shape[0]; ++row) {
    codes.values.insert(codes.values.end(), person.codes().values.begin(), person.codes().values.end());
  }
  const Pixels pixels = joined(session.synthesize(person, codes, added));
  const CSession c_session = c_session_of(words.at(1), words.at(2));
  HyperstyleSizes sizes = HYPERSTYLE_SIZES;
  done(hyperstyle_sizes(c_session.get(), &sizes));
  if (sizes.style_channels != added.shape[1]) throw std::runtime_error("C tells of other channels.");
  const HyperstyleArray c_codes{nullptr, codes.values.data(), 3, {codes.shape[0], codes.shape[1], codes.shape[2]}};
  const HyperstyleArray c_styles{nullptr, added.values.data(), 2, {added.shape[0], added.shape[1]}};
  Pixels from_c(pixels.size());
  done(hyperstyle_synthesize_styles(c_session.get(), c_inversion_of(words.at(3)).get(), &c_codes, &c_styles,
                                    from_c.data()));
  same(from_c, pixels);
  write(words.at(5), pixels);
}

void between(const Words& words) {
  const hs::Session session = session_of(words.at(1), "");
  const double time = std::stod(words.at(4));
  const Edits edits(words.begin() + 6, words.begin() + 7);
  const hs::Image image =
      session.between(hs::Inversion::load(words.at(2)), hs::Inversion::load(words.at(3)), time, edits.listed()[0]);
  const CSession c_session = c_session_of(words.at(1), "");
  const CInversion people[] = {c_inversion_of(words.at(2)), c_inversion_of(words.at(3))};
  const std::vector<HyperstyleEdit> in_c = edits.in_c();
  Pixels from_c(image.pixels.size());
  done(hyperstyle_between(c_session.get(), people[0].get(), people[1].get(), time, in_c.data(), from_c.data()));
  same(from_c, image.pixels);
  write(words.at(5), image.pixels);
}

void directions(const Words& words) {
  const CSession session = c_session_of(words.at(1), "");
  std::int64_t count = 0;
  std::ostringstream told;
  done(hyperstyle_direction_count(session.get(), &count));
  HyperstyleDirection one = HYPERSTYLE_DIRECTION;
  for (std::int64_t at = 0; at < count; ++at) {
    done(hyperstyle_direction(session.get(), at, &one));
    told << one.name << " " << one.is_component << " " << one.in_styles << " " << one.first_row << " " << one.end_row
         << " " << one.least_strength << " " << one.greatest_strength << "\n";
  }
  if (hyperstyle_direction(session.get(), count, &one) != HYPERSTYLE_ARRAY_ERROR) throw std::runtime_error("one more");
  const std::string text = told.str();
  hs::write_atomically(words.at(2), [&](std::FILE* file) { hs::write_all(file, text.data(), text.size()); });
}

// Does what each line of its input says - a verb and paths, between tabs - and prints "code<tab>text" for it.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>

#include "bundle.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"
#include "images.hpp"
#include "methods/method.hpp"
#include "states.hpp"

namespace {

using Words = std::vector<std::string>;

void write_pixels(const hyperstyle::Image& image, const std::string& path) {
  hyperstyle::write_atomically(path, [&](std::FILE* file) {
    const std::int32_t sizes[] = {static_cast<std::int32_t>(image.height), static_cast<std::int32_t>(image.width)};
    hyperstyle::write_all(file, sizes, sizeof sizes);
    hyperstyle::write_all(file, image.pixels.data(), image.pixels.size());
  });
}

// "smile=2.5,pose=-1"; an empty text is the person.
std::vector<std::pair<std::string, double>> strengths_of(const std::string& text) {
  std::vector<std::pair<std::string, double>> strengths;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    const std::size_t equals = part.find('=');
    strengths.emplace_back(part.substr(0, equals), std::stod(part.substr(equals + 1)));
  }
  return strengths;
}

// With one thread, as bits can depend on how many share a sum.
hyperstyle::Options drawn_by(const std::string& generator) {
  hyperstyle::Options options;
  options.generator = generator;
  options.threads = 1;
  return options;
}

// A bundle, a generator of it, an inversion, a file, edits: drawn through C++ and through C, which give the same pixels.
// Codes and pictures go to the file.
void edit(const Words& words) {
  const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), drawn_by(words.at(2)));
  const hyperstyle::Inversion person = hyperstyle::Inversion::load(words.at(3));
  std::vector<std::vector<std::pair<std::string, double>>> listed;
  for (std::size_t at = 5; at < words.size(); ++at) listed.push_back(strengths_of(words[at]));
  std::vector<hyperstyle::Edit> edits;
  std::vector<std::vector<HyperstyleStrength>> c_strengths;
  std::vector<HyperstyleEdit> c_edits;
  for (const auto& strengths : listed) {
    edits.emplace_back();
    c_strengths.emplace_back();
    for (const auto& [name, strength] : strengths) {
      edits.back().push_back({name, strength});
      c_strengths.back().push_back({name.c_str(), strength});
    }
  }
  for (const auto& one : c_strengths) c_edits.push_back({one.data(), static_cast<std::int64_t>(one.size())});
  const hyperstyle::Floats codes = session.edited_codes(person, edits);
  std::vector<std::uint8_t> pixels;
  for (const auto& image : session.edit(person, edits)) {
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  HyperstyleSession* handle = nullptr;
  HyperstyleInversion* inversion = nullptr;
  std::vector<std::uint8_t> from_c(pixels.size());
  HyperstyleOptions options = HYPERSTYLE_OPTIONS;
  options.generator = words.at(2).empty() ? nullptr : words.at(2).c_str();
  options.threads = 1;
  if (hyperstyle_open(words.at(1).c_str(), &options, &handle) != HYPERSTYLE_OK ||
      hyperstyle_inversion_load(words.at(3).c_str(), &inversion) != HYPERSTYLE_OK ||
      hyperstyle_edit(handle, inversion, c_edits.data(), static_cast<std::int64_t>(c_edits.size()), from_c.data()) !=
          HYPERSTYLE_OK ||
      from_c != pixels) {
    throw std::runtime_error(hyperstyle_error());
  }
  hyperstyle_inversion_free(inversion);
  hyperstyle_close(handle);
  hyperstyle::write_atomically(words.at(4), [&](std::FILE* file) {
    hyperstyle::write_all(file, codes.values.data(), codes.values.size() * sizeof(float));
    hyperstyle::write_all(file, pixels.data(), pixels.size());
  });
}

// Edits of an inversion of an optimisation; the pictures go to a file.
void draw(const Words& words) {
  hyperstyle::Options options;
  options.method = words.at(2);
  const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), options);
  std::vector<hyperstyle::Edit> edits;
  for (std::size_t at = 5; at < words.size(); ++at) {
    edits.emplace_back();
    for (const auto& [name, strength] : strengths_of(words[at])) edits.back().push_back({name, strength});
  }
  std::vector<std::uint8_t> pixels;
  for (const auto& image : session.edit(hyperstyle::Inversion::load(words.at(3)), edits)) {
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  hyperstyle::write_atomically(words.at(4),
                               [&](std::FILE* file) { hyperstyle::write_all(file, pixels.data(), pixels.size()); });
}

// A bundle, a generator, an inversion, floats [N, channels] in a file, a file: an inversion's codes with so much added to
// their styles, through C++ and C.
void styles(const Words& words) {
  const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), drawn_by(words.at(2)));
  const hyperstyle::Inversion person = hyperstyle::Inversion::load(words.at(3));
  const std::string content = hyperstyle::read_file(words.at(4));
  const auto* first = reinterpret_cast<const float*>(content.data());
  hyperstyle::Floats added{{0, session.style_channels()}, {first, first + content.size() / sizeof(float)}};
  added.shape[0] = static_cast<std::int64_t>(added.values.size()) / added.shape[1];
  hyperstyle::Floats codes = person.codes();
  codes.shape.insert(codes.shape.begin(), added.shape[0]);
  for (std::int64_t row = 1; row < added.shape[0]; ++row) {
    codes.values.insert(codes.values.end(), person.codes().values.begin(), person.codes().values.end());
  }
  std::vector<std::uint8_t> pixels;
  for (const auto& image : session.synthesize(person, codes, added)) {
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  HyperstyleSession* handle = nullptr;
  HyperstyleInversion* inversion = nullptr;
  HyperstyleOptions options = HYPERSTYLE_OPTIONS;
  options.generator = words.at(2).empty() ? nullptr : words.at(2).c_str();
  options.threads = 1;
  HyperstyleSizes sizes = HYPERSTYLE_SIZES;
  const HyperstyleArray c_codes{nullptr, codes.values.data(), 3, {codes.shape[0], codes.shape[1], codes.shape[2]}};
  const HyperstyleArray c_styles{nullptr, added.values.data(), 2, {added.shape[0], added.shape[1]}};
  std::vector<std::uint8_t> from_c(pixels.size());
  if (hyperstyle_open(words.at(1).c_str(), &options, &handle) != HYPERSTYLE_OK ||
      hyperstyle_sizes(handle, &sizes) != HYPERSTYLE_OK || sizes.style_channels != added.shape[1] ||
      hyperstyle_inversion_load(words.at(3).c_str(), &inversion) != HYPERSTYLE_OK ||
      hyperstyle_synthesize_styles(handle, inversion, &c_codes, &c_styles, from_c.data()) != HYPERSTYLE_OK ||
      from_c != pixels) {
    throw std::runtime_error(hyperstyle_error());
  }
  hyperstyle_inversion_free(inversion);
  hyperstyle_close(handle);
  hyperstyle::write_atomically(words.at(5),
                               [&](std::FILE* file) { hyperstyle::write_all(file, pixels.data(), pixels.size()); });
}

// Whoever is between two inversions at a time, with an edit, through C++ and C.
void between(const Words& words) {
  const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)));
  const double time = std::stod(words.at(4));
  hyperstyle::Edit edit;
  for (const auto& [name, strength] : strengths_of(words.at(6))) edit.push_back({name, strength});
  const hyperstyle::Image image =
      session.between(hyperstyle::Inversion::load(words.at(2)), hyperstyle::Inversion::load(words.at(3)), time, edit);
  HyperstyleSession* handle = nullptr;
  HyperstyleInversion* people[2] = {nullptr, nullptr};
  std::vector<HyperstyleStrength> strengths;
  for (const auto& change : edit) {
    strengths.push_back({std::get<std::string>(change.what).c_str(), change.strength});
  }
  const HyperstyleEdit c_edit{strengths.data(), static_cast<std::int64_t>(strengths.size())};
  std::vector<std::uint8_t> from_c(image.pixels.size());
  if (hyperstyle_open(words.at(1).c_str(), nullptr, &handle) != HYPERSTYLE_OK ||
      hyperstyle_inversion_load(words.at(2).c_str(), &people[0]) != HYPERSTYLE_OK ||
      hyperstyle_inversion_load(words.at(3).c_str(), &people[1]) != HYPERSTYLE_OK ||
      hyperstyle_between(handle, people[0], people[1], time, &c_edit, from_c.data()) != HYPERSTYLE_OK ||
      from_c != image.pixels) {
    throw std::runtime_error(hyperstyle_error());
  }
  for (HyperstyleInversion* person : people) hyperstyle_inversion_free(person);
  hyperstyle_close(handle);
  write_pixels(image, words.at(5));
}

// What the C interface tells of a bundle's directions, a line each.
void directions(const Words& words) {
  HyperstyleSession* handle = nullptr;
  std::int64_t count = 0;
  std::ostringstream told;
  if (hyperstyle_open(words.at(1).c_str(), nullptr, &handle) != HYPERSTYLE_OK ||
      hyperstyle_direction_count(handle, &count) != HYPERSTYLE_OK) {
    throw std::runtime_error(hyperstyle_error());
  }
  for (std::int64_t at = 0; at < count; ++at) {
    HyperstyleDirection direction = HYPERSTYLE_DIRECTION;
    if (hyperstyle_direction(handle, at, &direction) != HYPERSTYLE_OK) throw std::runtime_error(hyperstyle_error());
    told << direction.name << " " << direction.is_component << " " << direction.in_styles << " " << direction.first_row << " " << direction.end_row
         << " " << direction.least_strength << " " << direction.greatest_strength << "\n";
  }
  HyperstyleDirection direction = HYPERSTYLE_DIRECTION;
  if (hyperstyle_direction(handle, count, &direction) != HYPERSTYLE_ARRAY_ERROR) throw std::runtime_error("one more");
  hyperstyle_close(handle);
  const std::string text = told.str();
  hyperstyle::write_atomically(words.at(2),
                               [&](std::FILE* file) { hyperstyle::write_all(file, text.data(), text.size()); });
}

// A photo, landmarks (x and y of each between spaces) or four edges of a box between commas, a size; the picture and the
// record go to files.
void align(const Words& words) {
  std::vector<hyperstyle::Point> landmarks;
  std::string places = words.at(2);
  const bool is_box = places.find(',') != std::string::npos;
  std::replace(places.begin(), places.end(), ',', ' ');
  std::istringstream numbers(places);
  for (std::string x, y; numbers >> x >> y;) landmarks.push_back({std::stod(x), std::stod(y)});
  if (is_box) {
    landmarks = hyperstyle::landmarks_in({landmarks.at(0).x, landmarks[0].y, landmarks.at(1).x, landmarks[1].y});
  }
  const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1));
  const hyperstyle::Aligned aligned = hyperstyle::align(photo.view(), landmarks, std::stol(words.at(3)));
  write_pixels(aligned.picture, words.at(4));
  const std::string text = hyperstyle::Crop::parse(aligned.crop.text()).text();
  hyperstyle::write_atomically(words.at(5),
                               [&](std::FILE* file) { hyperstyle::write_all(file, text.data(), text.size()); });
}

// A photo, a face, a record or an inversion's file, a feather; the photo with the face goes to a file.
void paste(const Words& words) {
  const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1)), face = hyperstyle::read_photo(words.at(2));
  const bool is_text = words.at(3).front() == '{';
  const hyperstyle::Crop crop =
      is_text ? hyperstyle::Crop::parse(words.at(3)) : hyperstyle::crop_of(hyperstyle::Inversion::load(words.at(3)));
  write_pixels(hyperstyle::paste_back(photo.view(), face.view(), crop, std::stod(words.at(4))), words.at(5));
}

const std::map<std::string, std::function<void(const Words&)>> verbs{
    {"align", align},
    {"paste", paste},
    {"draw", draw},
    {"optimise",
     [](const Words& words) {
       hyperstyle::Options options;
       options.method = words.at(2);
       options.steps = std::stoi(words.at(5));
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), options);
       session.invert(hyperstyle::read_photo(words.at(3)).view()).save(words.at(4));
     }},
    {"crop", [](const Words& words) { hyperstyle::Crop::parse(words.at(1)); }},
    {"bundle", [](const Words& words) { hyperstyle::Bundle::open(words.at(1)); }},
    {"constants",
     [](const Words& words) {
       const hyperstyle::Bundle bundle = hyperstyle::Bundle::open(words.at(1));
       hyperstyle::constants(bundle, *hyperstyle::make_method(bundle.manifest()));
     }},
    {"session",  // a bundle, a backend, perhaps an optimisation, perhaps a generator
     [](const Words& words) {
       hyperstyle::Options options = drawn_by(words.size() > 4 ? words[4] : "");
       options.backend = words.at(2);
       if (words.size() > 3) options.method = words[3];
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), options);
     }},
    {"invert",
     [](const Words& words) {
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)));
       session.invert(hyperstyle::read_photo(words.at(2)).view());
     }},
    {"input",
     [](const Words& words) {
       const hyperstyle::ImageSpec spec{
           words.at(3), std::stol(words.at(4)), std::stol(words.at(5)), std::stol(words.at(6)), {}};
       const hyperstyle::Array input = hyperstyle::network_input({hyperstyle::read_photo(words.at(1)).view()}, spec);
       hyperstyle::write_atomically(words.at(2),
                                    [&](std::FILE* file) { hyperstyle::write_all(file, input.data, input.bytes()); });
     }},
    {"inversion", [](const Words& words) { hyperstyle::Inversion::load(words.at(1)); }},
    {"states", write_states},
    {"resave", [](const Words& words) { hyperstyle::Inversion::load(words.at(1)).save(words.at(2)); }},
    {"direction", [](const Words& words) { hyperstyle::Direction::load(words.at(1)); }},
    {"directions", directions},
    {"edit", edit},
    {"styles", styles},
    {"between", between},
    {"photo", [](const Words& words) { write_pixels(hyperstyle::read_photo(words.at(1)), words.at(2)); }},
    {"png", [](const Words& words) { hyperstyle::write_png(words.at(2), hyperstyle::read_photo(words.at(1)).view()); }},
    {"resize",
     [](const Words& words) {
       const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1));
       write_pixels(hyperstyle::resize(photo.view(), std::stol(words.at(3)), std::stol(words.at(4))), words.at(2));
     }},
};

std::string one_line(const std::string& text) {
  std::string line;
  for (const char character : text) line += character == '\n' ? "\\n" : std::string(1, character);
  return line;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    Words words;
    std::istringstream stream(line);
    for (std::string word; std::getline(stream, word, '\t');) words.push_back(word);
    try {
      verbs.at(words.at(0))(words);
      std::cout << "0\t" << std::endl;
    } catch (const hyperstyle::Error& error) {
      std::cout << static_cast<int>(error.code()) << "\t" << one_line(error.what()) << std::endl;
    }
  }
}
